"""/docs: the API, browsable with no access to the internet."""

from importlib import metadata, resources

from litestar import Litestar, Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    PathItem,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.params import FromPath

from domain.errors import NotFound
from entrypoints.http.contract import BEARER, PROBLEM_JSON, SESSION_ERRORS, codes_by_status

ASSETS = {
    "swagger_bundle.js": "text/javascript",
    "swagger_preset.js": "text/javascript",
    "swagger_style.css": "text/css",
}

OPENAPI = OpenAPIConfig(
    title="wxlogin",
    version=metadata.version("wxlogin"),
    description="The login service of WeChat mini-programs. Errors are RFC 9457 problems; rely on `code` and `retry`.",
    path="/docs",
    use_handler_docstrings=True,
    components=Components(
        security_schemes={
            "token": SecurityScheme(type="http", scheme="bearer"),
            "client": SecurityScheme(type="http", scheme="basic"),
        }
    ),
    render_plugins=[
        SwaggerRenderPlugin(
            js_url="/docs/assets/swagger_bundle.js",
            standalone_preset_js_url="/docs/assets/swagger_preset.js",
            css_url="/docs/assets/swagger_style.css",
            favicon="<link rel='icon' href='data:,'>",
        )
    ],
)


@get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=True)
def show_asset(name: FromPath[str]) -> Response[bytes]:
    """A file of Swagger UI, from the package offapi."""
    if name not in ASSETS:
        raise NotFound
    body = resources.files("offapi").joinpath(name).read_bytes()
    return Response(body, media_type=ASSETS[name], headers={"cache-control": "public, max-age=86400"})


def document_auth(app: Litestar) -> None:
    """Put /auth into the schema, where the framework puts no plain ASGI application."""
    headers = ("X-User-Id", "X-Session-Id", "X-WX-OPENID", "X-WX-APPID", "X-WX-UNIONID")
    problem = {PROBLEM_JSON: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))}
    refusals = {
        str(status): OpenAPIResponse(description=codes, content=problem)
        for status, codes in codes_by_status(*SESSION_ERRORS).items()
        if status != 404
    }
    live = OpenAPIResponse(
        description="A live session",
        headers={name: OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING)) for name in headers},
    )
    operation = Operation(
        tags=["Gateway"],
        operation_id="authenticate",
        summary="Authenticate",
        description="Forward authentication for nginx, Caddy, Traefik: who is calling, in headers to copy.",
        security=BEARER,
        responses={"204": live, **refusals},
    )
    paths = app.openapi_schema.paths or {}
    paths["/auth"] = PathItem(get=operation)
