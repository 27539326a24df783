"""WXLOGIN_WEBHOOKS: what is accepted, what is refused with which hint, and that no secret is shown."""

import json
from typing import Any

import pytest

from domain.event import EventPolicy, EventType
from domain.webhook import WebhookEndpoint
from entrypoints.settings import Settings, SettingsError, explaining_wrong_settings
from support.webhooks import OTHER_SECRET, SECRET

URL = "https://shop.example.com/hooks/a-secret-path?key=a-secret-key"


def settings(*entries: dict[str, Any]) -> Settings:
    """Return settings with these webhooks. Raises SettingsError."""
    with explaining_wrong_settings():
        return Settings.model_validate({"webhooks": json.dumps(entries)})


def entry(**changes: Any) -> dict[str, Any]:
    """Return an entry, with changes."""
    return {"url": URL, "secret": SECRET, **changes}


def refused(*entries: dict[str, Any]) -> str:
    """Return the text of the error."""
    with pytest.raises(SettingsError) as raised:
        settings(*entries)
    return str(raised.value)


def test_an_entry_is_an_endpoint_for_all_events() -> None:
    """An entry with a URL and a secret is an endpoint that gets every event, and no private address."""
    loaded = settings(entry())
    (endpoint,) = loaded.webhook_endpoints
    policy = EventPolicy(subscriptions=loaded.webhook_subscriptions)

    assert endpoint == WebhookEndpoint(URL, (SECRET,), private=False)
    assert all(policy.subscribers(each) == [endpoint.id] for each in EventType)


def test_patterns_choose_events() -> None:
    """An endpoint gets the events that match any of its patterns, also an exact name."""
    loaded = settings(entry(events=["session.*", "user.blocked"]))
    policy = EventPolicy(subscriptions=loaded.webhook_subscriptions)

    assert {each.value for each in EventType if policy.subscribers(each)} == {
        "session.started",
        "session.ended",
        "user.blocked",
    }


def test_a_list_of_secrets_rotates() -> None:
    """An entry may have several secrets, in order."""
    (endpoint,) = settings(entry(secret=[OTHER_SECRET, SECRET])).webhook_endpoints

    assert endpoint.secrets == (OTHER_SECRET, SECRET)


def test_http_is_for_private_addresses() -> None:
    """An http URL needs `private`, which then is in the endpoint."""
    assert settings(entry(url="http://10.0.0.5:8080/hooks", private=True)).webhook_endpoints[0].private
    assert '"private": true' in refused(entry(url="http://10.0.0.5:8080/hooks"))


def test_a_pattern_that_matches_nothing_is_refused_with_the_types() -> None:
    """An unknown pattern is refused, and the error lists all types."""
    text = refused(entry(events=["sesion.*"]))

    assert "sesion.* matches no type of event" in text
    assert all(each in text for each in EventType)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "plain text"},
        {"secret": "whsec_"},
        {"secret": "whsec_c2hvcnQ="},
        {"secret": "whsec_not base64 at all, though it is long enough"},
        {"secret": "whsec_" + "A" * 88},
        {"secret": []},
        {"secret": [SECRET, "plain text"]},
        {"url": "ftp://shop.example.com"},
        {"url": "https://"},
        {"url": "https://shop.example.com/#fragment"},
        {"url": "https://user:password@shop.example.com/"},
        {"url": "https://shop.example.com:port/"},
        {"events": []},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_malformed_entry_is_refused_without_its_values(wrong: dict[str, Any]) -> None:
    """A malformed entry is refused with the name of the setting, and neither URL nor secret."""
    text = refused(entry(**wrong))

    assert text.startswith("WXLOGIN_WEBHOOKS (0")
    for value in ("a-secret", SECRET, "plain text", "c2hvcnQ", "password", "AAAA"):
        assert value not in text


def test_a_url_is_configured_once() -> None:
    """Two entries with one URL are refused."""
    text = refused(entry(), entry(secret=OTHER_SECRET))

    assert "has a url more than once" in text
    assert "a-secret" not in text


def test_neither_url_nor_secret_is_in_a_repr() -> None:
    """The repr of the settings, of the entry and of the endpoint has no part of the URL's path and of the secret."""
    loaded = settings(entry())
    shown = repr(loaded) + str(loaded) + repr(loaded.webhooks) + repr(loaded.webhook_endpoints)

    assert "a-secret" not in shown
    assert SECRET not in shown
