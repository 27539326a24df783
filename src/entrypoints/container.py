"""The composition root: the only module that imports adapters."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import httpx2
from cryptography.fernet import MultiFernet
from dependency_injector import containers, providers

from adapters.crypto.ciphers import FernetCipher, SivCipher
from adapters.http.webhook_sender import HttpWebhookSender
from adapters.jose.token_signer import JoseTokenSigner, generate_key
from adapters.memory.push_store import MemoryPushStore
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.redis.access_token_store import RedisAccessTokenStore
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient as RedisClient  # for entrypoints, which import no adapter
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.push_store import RedisPushStore
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.session_events import RedisSessionEvents
from adapters.redis.session_store import RedisSessionStore
from adapters.sql.access_token_store import SqlAccessTokenStore
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from adapters.sql.events import SqlEvents
from adapters.sql.key_vault import SqlKeyVault
from adapters.sql.login_failures import SqlLoginFailures
from adapters.sql.probe import SqlProbe
from adapters.sql.schema import is_migrated, migrate
from adapters.sql.session_events import SqlSessionEvents
from adapters.sql.session_store import SqlSessionStore
from adapters.sql.user_repository import SqlUserRepository
from adapters.sql.webhook_queue import SqlWebhookQueue
from adapters.wechat.access_token_issuer import WeChatAccessTokenIssuer
from adapters.wechat.api import WeChatApi, create_transport
from adapters.wechat.decryptor import WeChatDecryptor
from adapters.wechat.errcodes import ERRCODES, ErrCode
from adapters.wechat.identity_provider import WeChatIdentityProvider
from adapters.wechat.platform import WeChatPlatform
from adapters.wechat.push_forwarder import WeChatPushForwarder
from adapters.wechat.push_reader import PushKeys, WeChatPushReader
from adapters.wechat.signing import Signer, SigningKeys
from application.access_tokens import AccessTokens
from application.admin_access import AdminAccess
from application.administration import Administration
from application.block import BlockUsers
from application.client_data import ClientData
from application.event_relay import EventRelay
from application.login import LoginUseCase
from application.login_with_phone import LoginWithPhone
from application.merge import MergeUsers
from application.own_data import OwnData
from application.ports.clock import Clock
from application.ports.identity_provider import IdentityProvider
from application.ports.probe import Probe
from application.ports.session_store import SessionStore
from application.push import Pushes
from application.rate_limits import (
    ADMIN_FAILURES,
    CLIENT_FAILURES,
    DECRYPTIONS,
    TOKEN_EXCHANGES,
    LimitedIdentityProvider,
    LoginQuota,
    Quota,
    ScanQuotas,
)
from application.readiness import Readiness
from application.scan_pictures import ScanPictures
from application.scans import Scans
from application.session_keys import SessionKeys
from application.sessions import Sessions
from application.signed_tokens import SignedTokens
from application.user_sessions import UserSessions
from application.users import Users
from application.webhooks import Webhooks
from domain.admin import AdminKeys
from domain.identity import AppId
from entrypoints.assertions import Assertions
from entrypoints.failure_counter import FailureCounter
from entrypoints.instrumented import (
    InstrumentedAccessTokenIssuer,
    InstrumentedLogin,
    InstrumentedRateLimiter,
    SessionChecks,
    instrumented_attempts,
)
from entrypoints.metrics import Metrics
from entrypoints.setting_models import Signing
from entrypoints.settings import Settings, SettingsError

T = TypeVar("T")

utc_now: Clock = partial(datetime.now, UTC)
"""The clock of the system."""


def choose_shared_store(settings: Settings) -> str:
    """Return where processes share access tokens, grants and limits: Redis if it is configured, else the database."""
    return "redis" if settings.redis_url else "database"


def choose_session_technology(settings: Settings) -> str:
    """Return the technology of the session store: that of the shared store. A new session store adds its name here."""
    return choose_shared_store(settings)


def distinct(*parts: T) -> list[T]:
    """Return the objects in their order, each once."""
    return list(dict.fromkeys(parts))


def by_app(platforms: Mapping[AppId, str], **by_platform: IdentityProvider) -> dict[AppId, IdentityProvider]:
    """Return the identity provider of each app: that of its platform. Raises SettingsError for an unknown platform."""
    for appid, platform in platforms.items():
        if platform not in by_platform:
            raise SettingsError(
                f"WXLOGIN_APPS: the platform of {appid}, {platform}, has no adapters here; there are"
                f" {', '.join(by_platform)}"
            )
    return {appid: by_platform[platform] for appid, platform in platforms.items()}


def probes_of(database: Probe, sessions: SessionStore, sessions_in_database: SessionStore) -> list[Probe]:
    """Return what a login needs: the database, and the session store if it is another server."""
    return [database] if sessions is sessions_in_database else [database, sessions]


def siv_cipher(settings: Settings) -> SivCipher:
    """Return the cipher of session_keys in Redis."""
    return SivCipher([key.get_secret_value() for key in settings.encryption_keys])


def open_signers(settings: Settings, clock: Clock) -> dict[AppId, Signer]:
    """Return the signers of WeChat's apps with API security. Raises SettingsError for malformed keys."""
    return {appid: _signer(appid, keys, clock) for appid, keys in settings.signing_of("wechat").items()}


def _signer(appid: AppId, keys: Signing, clock: Clock) -> Signer:
    sym_key, private_key = keys.sym_key.get_secret_value(), keys.private_key.get_secret_value()
    try:
        return Signer(
            appid, SigningKeys(sym_key, keys.sym_key_sn, private_key, keys.certificate, keys.certificate_sn), clock
        )
    except ValueError as error:
        raise SettingsError(
            f"WXLOGIN_APPS (signing of {appid}): {error}.\n  hint: copy it from the WeChat console again"
        ) from None


def open_token_signer(settings: Settings) -> JoseTokenSigner:
    """Return the signer of tokens. Raises SettingsError for malformed keys."""
    try:
        return JoseTokenSigner([key.jwk for key in settings.signing_keys])
    except ValueError as error:
        raise SettingsError(
            f"WXLOGIN_SIGNING_KEYS: {error}.\n  hint: `wxlogin keygen --signing` prints a key"
        ) from None


def push_keys(settings: Settings) -> dict[AppId, PushKeys]:
    """Return the keys of WeChat's message push, by appid. Raises SettingsError if a part is missing."""
    return {
        appid: PushKeys(keys.token.get_secret_value(), keys.aes_key.get_secret_value() if keys.aes_key else None)
        for appid, keys in settings.push_of("wechat").items()
    }


def push_forwarder(settings: Settings, transport: httpx2.AsyncBaseTransport) -> WeChatPushForwarder | None:
    """Return what forwards pushes, or None if they are not forwarded."""
    return WeChatPushForwarder(transport, settings.push_forward_url) if settings.push_forward_url else None


class Container(containers.DeclarativeContainer):
    """Builds all objects, without I/O. `open_container` opens and closes the pools."""

    settings = providers.Dependency(instance_of=Settings)
    transport = providers.Dependency[httpx2.AsyncBaseTransport]()
    push_transport = providers.Dependency[httpx2.AsyncBaseTransport]()
    database = providers.Dependency[Database]()
    redis = providers.Dependency[RedisClient]()
    cipher = providers.Dependency(instance_of=MultiFernet)
    clock = providers.Dependency[Clock]()

    shared_store = providers.Callable(choose_shared_store, settings)
    session_technology = providers.Callable(choose_session_technology, settings)
    metrics = providers.Singleton(Metrics, settings.provided.platforms)
    wechat = providers.Singleton(
        WeChatApi,
        transport,
        settings.provided.wechat_url,
        settings.provided.wechat_timeout_seconds,
        metrics.provided.wechat_called,
    )
    rate_limiter = providers.Selector(
        shared_store,
        redis=providers.Singleton(RedisRateLimiter, redis),
        database=providers.Singleton(MemoryRateLimiter, clock),
    )
    login_limiter = providers.Singleton(InstrumentedRateLimiter, rate_limiter, metrics)
    login_quota = providers.Singleton(LoginQuota, login_limiter, settings.provided.login_limit)
    client_failures = providers.Singleton(
        Quota, rate_limiter, CLIENT_FAILURES, "Too many failed authentications from this address"
    )
    admin_failures = providers.Singleton(
        Quota, rate_limiter, ADMIN_FAILURES, "Too many wrong admin keys from this address"
    )
    wechat_secrets = settings.provided.secrets_of.call("wechat")
    wechat_identities = providers.Singleton(WeChatIdentityProvider, wechat, wechat_secrets)
    identities_by_app = providers.Callable(by_app, settings.provided.platforms, wechat=wechat_identities)
    identities = providers.Singleton(
        LimitedIdentityProvider,
        identities_by_app,
        providers.Singleton(LoginQuota, login_limiter, settings.provided.app_login_limit),
    )
    issuer = providers.Singleton(
        InstrumentedAccessTokenIssuer,
        providers.Singleton(WeChatAccessTokenIssuer, wechat, wechat_secrets),
        metrics,
    )
    decryptor = providers.Singleton(WeChatDecryptor)
    event_policy = settings.provided.event_policy
    publish = metrics.provided.publish
    events = providers.Singleton(SqlEvents, database, event_policy)
    user_repository = providers.Singleton(
        SqlUserRepository, database, event_policy, publish, unique_phones=settings.provided.phone_unique
    )
    login_failures = providers.Singleton(SqlLoginFailures, database)
    failure_counter = providers.Singleton(FailureCounter, login_failures, clock)
    fernet_cipher = providers.Singleton(FernetCipher, cipher)
    sql_key_vault = providers.Singleton(SqlKeyVault, database, fernet_cipher)
    sql_session_store = providers.Singleton(SqlSessionStore, database, sql_key_vault, event_policy, publish)
    sql_session_events = providers.Singleton(SqlSessionEvents, database)
    # events of device grants; in Redis, those of sessions are beside them
    shared_events = providers.Selector(
        shared_store, redis=providers.Singleton(RedisSessionEvents, redis), database=sql_session_events
    )
    # another technology of sessions has a case in each of these three selectors, and none elsewhere
    key_vault = providers.Selector(
        session_technology,
        redis=providers.Singleton(RedisKeyVault, redis, providers.Singleton(siv_cipher, settings)),
        database=sql_key_vault,
    )
    session_store = providers.Selector(
        session_technology,
        redis=providers.Singleton(RedisSessionStore, redis, key_vault, event_policy, publish),
        database=sql_session_store,
    )
    session_events = providers.Selector(session_technology, redis=shared_events, database=sql_session_events)
    # sessions may have been in the database before they were elsewhere
    event_relay = providers.Singleton(
        EventRelay, providers.Callable(distinct, session_events, shared_events, sql_session_events), events
    )
    probes = providers.Callable(probes_of, providers.Singleton(SqlProbe, database), session_store, sql_session_store)
    token_store = providers.Selector(
        shared_store,
        redis=providers.Singleton(RedisAccessTokenStore, redis, fernet_cipher),
        database=providers.Singleton(SqlAccessTokenStore, database, fernet_cipher),
    )
    access_tokens = providers.Singleton(
        AccessTokens, issuer, token_store, lease=settings.provided.token_lease, clock=clock
    )
    sql_device_grants = providers.Singleton(SqlDeviceGrantStore, database, event_policy, publish)
    device_grants = providers.Selector(
        shared_store, redis=providers.Singleton(RedisDeviceGrantStore, redis, publish), database=sql_device_grants
    )
    signers = providers.Singleton(open_signers, settings, clock)
    platform = providers.Singleton(WeChatPlatform, wechat, access_tokens, signers, clock)

    apps: providers.Callable[frozenset[AppId]] = providers.Callable(frozenset, settings.provided.platforms)
    login = providers.Singleton(
        LoginUseCase,
        identities,
        user_repository,
        session_store,
        apps=apps,
        policy=settings.provided.policy,
        clock=clock,
    )
    instrumented_login = providers.Singleton(InstrumentedLogin, login, metrics, failure_counter, apps)
    sessions = providers.Singleton(Sessions, session_store, policy=settings.provided.policy, clock=clock)
    session_checks = providers.Singleton(SessionChecks, sessions, metrics)
    user_sessions = providers.Singleton(UserSessions, session_store, user_repository, clock=clock)
    users = providers.Singleton(Users, user_repository, platform, clock=clock)
    login_with_phone = providers.Singleton(
        LoginWithPhone, instrumented_login, users, limit=settings.provided.phone_limit
    )
    own_data = providers.Singleton(OwnData, user_repository, session_store, key_vault, events, clock=clock)
    block_users = providers.Singleton(BlockUsers, user_repository, user_sessions, clock=clock)
    merge_users = providers.Singleton(MergeUsers, user_repository, session_store, user_sessions, clock=clock)
    administration = providers.Singleton(
        Administration,
        user_repository,
        events,
        event_relay,
        login_failures,
        sessions,
        user_sessions,
        block_users,
        merge_users,
        own_data,
        clock=clock,
    )
    admin_access = providers.Singleton(
        AdminAccess, providers.Singleton(AdminKeys, settings.provided.admins), admin_failures
    )
    decryptions = providers.Singleton(Quota, rate_limiter, DECRYPTIONS, "Too many decryptions in this session")
    client_data = providers.Singleton(ClientData, key_vault, decryptor, platform, decryptions, clock=clock)
    token_signer = providers.Singleton(open_token_signer, settings)
    exchanges = providers.Singleton(Quota, rate_limiter, TOKEN_EXCHANGES, "Too many token exchanges in this session")
    signed_tokens = providers.Singleton(
        SignedTokens, token_signer, exchanges, policy=settings.provided.signed_tokens, clock=clock
    )
    assertions = providers.Singleton(Assertions, signed_tokens, settings.provided.assertion_audience, clock=clock)
    session_keys = providers.Singleton(SessionKeys, key_vault, platform, user_repository, events, clock=clock)
    scan_pictures = providers.Singleton(
        ScanPictures,
        device_grants,
        platform,
        settings.provided.scan_target,
        lease=settings.provided.token_lease,
        clock=clock,
    )
    scans = providers.Singleton(
        Scans,
        device_grants,
        session_store,
        user_repository,
        scan_pictures,
        providers.Singleton(ScanQuotas, rate_limiter),
        apps=apps,
        with_numbers=settings.provided.scan_match_number,
        policy=settings.provided.policy,
        clock=clock,
    )
    push_store = providers.Selector(
        shared_store,
        redis=providers.Singleton(RedisPushStore, redis),
        database=providers.Singleton(MemoryPushStore, clock),
    )
    pushes = providers.Singleton(
        Pushes,
        providers.Singleton(WeChatPushReader, providers.Callable(push_keys, settings), clock),
        user_repository,
        own_data,
        push_store,
        providers.Callable(push_forwarder, settings, push_transport),
        apps,
    )
    readiness = providers.Singleton(Readiness, probes)
    webhook_queue = providers.Singleton(SqlWebhookQueue, database)
    webhook_sender = providers.Singleton(HttpWebhookSender, settings.provided.webhook_endpoints)
    webhooks = providers.Singleton(
        Webhooks,
        webhook_queue,
        webhook_sender,
        settings.provided.webhook_endpoints,
        observe=providers.Callable(instrumented_attempts, metrics),
        clock=clock,
    )


OpenContainer = Callable[[], AbstractAsyncContextManager[Container]]
"""What an entrypoint is given: the container with its pools open, for as long as the block lasts."""


@asynccontextmanager
async def open_container(
    settings: Settings,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    clock: Clock = utc_now,
    prepare: Callable[[Container], None] | None = None,
) -> AsyncIterator[Container]:
    """Open the container of `settings`. The end of the block closes its pools.

    `transport` replaces the HTTP transport to WeChat. `prepare` is called after the pools are open, before objects are
    built on them. Raises SettingsError without encryption keys, for an unknown platform of an app, and for malformed or
    missing settings of signed tokens and of API security.
    """
    async with AsyncExitStack() as stack:
        container = Container(settings=settings, cipher=settings.cipher, clock=providers.Object(clock))
        opened = await stack.enter_async_context(transport or create_transport())
        container.transport.override(opened)
        # a slow receiver of pushes should take no connection from logins
        forwarding = await stack.enter_async_context(create_transport()) if settings.push_forward_url else opened
        container.push_transport.override(forwarding)
        database = await stack.enter_async_context(open_database(settings))
        container.database.override(database)
        container.metrics().connections_open(database.watch(container.metrics().connections_used))
        if settings.redis_url:
            redis = await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value()))
            container.redis.override(redis)
        if prepare:
            prepare(container)
        container.identities()  # an unknown platform should stop the start, not a login
        container.signers()  # so should wrong keys
        container.signed_tokens()
        container.pushes()
        stack.push_async_callback(container.access_tokens().aclose)
        stack.push_async_callback(container.scan_pictures().aclose)
        stack.push_async_callback(container.webhook_sender().aclose)
        yield container


def open_redis(url: str) -> RedisClient:
    """Return a client of Redis, a context manager. Raises SettingsError for an unknown option in the URL."""
    try:
        return create_client(url)
    except ValueError as error:
        raise SettingsError(
            f"WXLOGIN_REDIS_URL: {error}.\n  hint: the part behind the question mark has redis-py's options"
        ) from None


def open_database(settings: Settings) -> Database:
    """Return the database, a context manager."""
    return Database(settings.database_url.get_secret_value())


async def migrate_database(settings: Settings) -> None:
    """Migrate the database to the newest schema. Raises StoreUnavailable."""
    async with open_database(settings) as database:
        await migrate(database)


async def require_migrated(container: Container) -> None:
    """Raise SettingsError if the database is not migrated, and StoreUnavailable if it does not answer."""
    if not await is_migrated(container.database()):
        raise SettingsError("The database of WXLOGIN_DATABASE_URL is not migrated.\n  hint: wxlogin migrate")


def new_signing_key() -> str:
    """Return a new key for WXLOGIN_SIGNING_KEYS."""
    return generate_key()


def wechat_errcodes() -> Mapping[int, ErrCode]:
    """Return the explanations of WeChat's error codes."""
    return ERRCODES
