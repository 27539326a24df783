"""/docs: the API documentation, without access to the internet."""

import inspect
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from importlib import metadata, resources
from operator import itemgetter
from typing import Any

from litestar import Litestar, MediaType, Response, Router, get
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
from entrypoints.http.descriptions import APPID, EXAMPLES, FIELDS, JWT, OPENID, SESSION, UNIONID, USER

IDENTITY = {
    "X-User-Id": ("sub", USER),
    "X-Session-Id": ("sid", SESSION),
    "X-WX-OPENID": ("openid", OPENID),
    "X-WX-APPID": ("appid", APPID),
    "X-WX-UNIONID": ("unionid", UNIONID),
    "X-User-Assertion": ("assertion", JWT),
}
"""The headers of /auth: what they are, and an example."""

METHODS = ("get", "post", "put", "patch", "delete")

STANDARD_PHRASES = {status.description for status in HTTPStatus}
"""The framework's own descriptions of responses."""

ASSETS = {
    "swagger_bundle.js": "text/javascript",
    "swagger_preset.js": "text/javascript",
    "swagger_style.css": "text/css",
}

INLINE = re.compile(rb"<(script|style)\b[^>]*>(.*?)</\1>", re.DOTALL)
"""A script or a style that stands in the page itself."""


def with_policy(response: Response[Any]) -> Response[Any]:
    """Return the response; a page gets a Content-Security-Policy that allows what stands in it and comes from here."""
    if response.media_type == MediaType.HTML:
        response.headers["content-security-policy"] = policy_of(response.content)
    return response


@lru_cache(maxsize=4)
def policy_of(page: bytes) -> str:
    """Return the policy of a page of Swagger UI. Its images are data: URLs; requests go to this service only."""
    allowed: dict[bytes, list[str]] = {b"script": ["'self'"], b"style": ["'self'"]}
    for tag, inline in filter(itemgetter(1), INLINE.findall(page)):
        allowed[tag].append(f"'sha256-{b64encode(sha256(inline).digest()).decode()}'")
    return (
        f"default-src 'none'; script-src {' '.join(allowed[b'script'])}; style-src {' '.join(allowed[b'style'])};"
        " img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Swagger(SwaggerRenderPlugin):
    """Swagger UI without its page for OAuth redirects, which this API does not need."""

    def receive_router(self, router: Router) -> None:
        """Do nothing."""


DESCRIPTION = "The login service of WeChat mini-programs. Errors are RFC 9457 problems; rely on `code` and `retry`."


def openapi_config() -> OpenAPIConfig:
    """Return how the API is described, with routes of its own: each application has to have them anew."""
    return OpenAPIConfig(
        title="wxlogin",
        version=metadata.version("wxlogin"),
        description=DESCRIPTION,
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, after_request=with_policy),
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer"),
                "client": SecurityScheme(type="http", scheme="basic"),
            }
        ),
        render_plugins=[
            Swagger(
                js_url="/docs/assets/swagger_bundle.js",
                standalone_preset_js_url="/docs/assets/swagger_preset.js",
                css_url="/docs/assets/swagger_style.css",
                favicon="<link rel='icon' href='data:,'>",
            )
        ],
    )


@get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=True)
def show_asset(name: FromPath[str]) -> Response[bytes]:
    """Return a file of Swagger UI, from the package offapi."""
    if name not in ASSETS:
        raise NotFound
    body = resources.files("offapi").joinpath(name).read_bytes()
    return Response(body, media_type=ASSETS[name], headers={"cache-control": "public, max-age=86400"})


def document(app: Litestar) -> None:
    """Add to the schema what the framework does not know: /auth, examples, and what bodies and fields are."""
    schema = app.openapi_schema
    (schema.paths or {})["/auth"] = PathItem(get=_auth())
    schemas = schema.components.schemas if schema.components else {}
    for body, example in EXAMPLES.items():
        described = schemas[body.__name__]
        described.description = (inspect.getdoc(body) or "").partition("Raises ")[0].strip()
        described.examples = [example]
        for name, field in (described.properties or {}).items():
            field.description = FIELDS.get(f"{body.__name__}.{name}") or FIELDS.get(name)
    for path in (schema.paths or {}).values():
        for operation in filter(None, (getattr(path, method) for method in METHODS)):
            _describe(operation, schemas)


def _describe(operation: Operation, schemas: Mapping[str, Schema]) -> None:
    """Take the summary from the first sentence of the description, and say what a success is."""
    if " " not in (operation.summary or ""):
        operation.summary = (operation.description or "").partition(". ")[0].partition("\n")[0].removesuffix(".")
    for response in (operation.responses or {}).values():
        if isinstance(response, OpenAPIResponse) and response.description in STANDARD_PHRASES:
            bodies = [media.schema for media in (response.content or {}).values()]
            names = [body.ref.rpartition("/")[2] for body in bodies if isinstance(body, Reference)]
            known = [schemas[name].description or "" for name in names]
            response.description = known[0].partition("\n")[0] if known else "Done" if not bodies else "The result"


def _auth() -> Operation:
    """Return the description of /auth, a plain ASGI application."""
    problem = {PROBLEM_JSON: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))}
    refusals = {
        str(status): OpenAPIResponse(description=codes, content=problem)
        for status, codes in codes_by_status(*SESSION_ERRORS).items()
        if status != 404
    }
    live = OpenAPIResponse(
        description="A live session",
        headers={
            name: OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description=FIELDS[field], example=example)
            for name, (field, example) in IDENTITY.items()
        },
    )
    return Operation(
        tags=["Gateway"],
        operation_id="authenticate",
        summary="Authenticate the caller of a request",
        description="Forward authentication for gateways: who is calling, in headers to copy.",
        security=BEARER,
        responses={"204": live, **refusals},
    )
