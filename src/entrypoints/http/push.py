"""/wechat/push: what WeChat pushes. Its answers are texts, as WeChat expects them."""

from collections.abc import Awaitable, Callable

from litestar import MediaType, Response, Router, get, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import FromPath

from domain.errors import NotFound, StoreUnavailable
from domain.push import Handled, PushNotForwarded, PushOutcome, PushRefused, RawPush
from entrypoints.container import Container
from entrypoints.http.contract import problems
from entrypoints.http.dependencies import CallerRequest, device_of, runtime_of
from entrypoints.http.errors import AnyRequest
from entrypoints.log import log

SUCCESS = "success"
"""The response that tells WeChat that the push was received."""

REFUSED = ResponseSpec(str, description="Not WeChat's", media_type="text/plain", generate_examples=False)
NOT_FORWARDED = ResponseSpec(str, description="Not forwarded", media_type="text/plain", generate_examples=False)


@get(
    "/{appid:str}",
    media_type=MediaType.TEXT,
    sync_to_thread=False,
    responses={403: REFUSED, **problems(NotFound)},
)
def check_push_address(appid: FromPath[str], request: CallerRequest, state: State) -> str:
    """Answer WeChat's check of the address with its `echostr`."""
    return runtime_of(state).container.pushes().check_address(appid, _given(request))


@post(
    "/{appid:str}",
    status_code=200,
    media_type=MediaType.TEXT,
    responses={403: REFUSED, 502: NOT_FORWARDED, **problems(NotFound, StoreUnavailable)},
)
async def receive_push(appid: FromPath[str], request: CallerRequest, state: State) -> str:
    """Receive an event of WeChat, in XML or JSON, plain or encrypted."""
    given = _given(request, await request.body())
    log_push(await runtime_of(state).container.pushes().receive(appid, given))
    return SUCCESS


def log_push(handled: Handled) -> None:
    """Log what became of a push. What was repeated is part of normal operation."""
    push = handled.push
    fields = {
        "appid": push.appid.value,
        "push": push.name,
        "outcome": handled.outcome.value,
        "user_id": handled.user_id,
        "consents": list(push.revoked) or None,
    }
    if handled.outcome is PushOutcome.REPEATED:
        log.debug("push", **fields)
    else:
        log.info("push", **fields)


def applying_postponed(container: Container) -> Callable[[], Awaitable[None]]:
    """Return a function that applies the pushes that were postponed."""

    async def apply_postponed() -> None:
        async for handled in container.pushes().apply_postponed():
            log_push(handled)

    return apply_postponed


def _given(request: CallerRequest, body: bytes = b"") -> RawPush:
    query = request.scope["query_string"].decode("latin-1")
    return RawPush(query, body, request.headers.get("content-type"))


def refused_response(request: AnyRequest, error: PushRefused) -> Response[str]:
    """Return the response to a request that is not WeChat's: the same for all reasons, which the log has."""
    log.warning(
        "push_refused", appid=request.path_params.get("appid"), reason=error.reason, ip=device_of(request.scope).ip
    )
    return Response("refused", status_code=403, media_type=MediaType.TEXT)


def not_forwarded_response(request: AnyRequest, error: PushNotForwarded) -> Response[str]:
    """Return the response after which WeChat repeats the push."""
    log.error("push_not_forwarded", appid=request.path_params.get("appid"), detail=str(error))
    return Response("not forwarded", status_code=502, media_type=MediaType.TEXT)


router = Router(
    "/wechat/push",
    tags=["WeChat"],
    route_handlers=[check_push_address, receive_push],
    exception_handlers={PushRefused: refused_response, PushNotForwarded: not_forwarded_response},
)
