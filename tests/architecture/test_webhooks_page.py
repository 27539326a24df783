"""The page on webhooks agrees with the code."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from adapters.http.addresses import PRIVATE
from adapters.http.webhook_message import encode_body, signed_headers
from application.webhooks import CONCURRENCY
from domain.event import EventType
from domain.webhook import PAUSES
from entrypoints.setting_models import Webhook as WebhookSetting
from entrypoints.settings import Settings
from support.pages import ROOT, blocks, section, table
from support.webhooks import new_event

PAGE = (ROOT / "docs/webhooks.md").read_text(encoding="utf-8")
EXAMPLE_SECRET = "whsec_YS1yYW5kb20tc2VjcmV0LW9mLTMyLWJ5dGVzLi4uLi4="


def test_the_page_has_every_key_of_the_setting() -> None:
    """The table has the keys of an entry, in their order."""
    assert [row[0] for row in table(section(PAGE, "Set up"), "key")] == [f"`{k}`" for k in WebhookSetting.model_fields]


def test_the_example_of_the_setting_works() -> None:
    """The example loads, with two endpoints."""
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)

    assert [each.private for each in Settings.model_validate({"webhooks": example}).webhook_endpoints] == [False, True]


def test_the_page_has_every_type() -> None:
    """The list of types is that of the code."""
    (listed,) = re.findall(r"The types are (.*?)\. Ignore", PAGE, re.DOTALL)

    assert re.findall(r"`([\w.]+)`", listed) == list(EventType)


def test_the_page_has_the_fields_of_a_message() -> None:
    """The example and the table have the fields that a message has."""
    (example,) = blocks(section(PAGE, "What arrives"), "http")
    body = json.loads(example.partition("\n\n")[2])
    sent = json.loads(encode_body(new_event(datetime.now(UTC))))
    documented = re.findall(r"`data\.(\w+)`", "\n".join(row[0] for row in table(PAGE, "field")))

    assert (list(body), list(body["data"])) == (list(sent), list(sent["data"]))
    assert documented == list(sent["data"])


def test_the_example_in_python_verifies() -> None:
    """The function of the page takes what wxlogin sends, and refuses what others send."""
    (example,) = blocks(PAGE, "python")
    queued: list[str] = []
    known: dict[str, Any] = {"queue_once": lambda key, _: queued.append(key)}
    exec(example, known)  # noqa: S102  # our own page
    event = new_event(datetime.now(UTC))
    body = encode_body(event)
    headers = signed_headers(event.id, body, [Webhook(EXAMPLE_SECRET)], datetime.now(UTC))

    assert known["receive"](body, headers) == 204
    assert known["receive"](body + b" ", headers) == 401
    assert queued == [event.id]


def test_the_page_has_the_networks_and_numbers_of_the_code() -> None:
    """The page names every private network, the number of calls at once, and the pauses before the last."""
    seconds = {"s": 1, "min": 60, "h": 3600}
    named = [
        int(number) * seconds[unit] for number, unit in re.findall(r"\b(\d+) (s|min|h)\b", section(PAGE, "Delivery"))
    ]

    assert all(str(network).removesuffix("/128") in section(PAGE, "Addresses") for network in PRIVATE)
    assert f"**{CONCURRENCY} requests at once**" in PAGE
    assert named == [pause.total_seconds() for pause in PAUSES[:-1]]


@pytest.mark.parametrize("page", ["webhooks.md", "webhooks.zh-CN.md"])
def test_the_examples_have_one_secret(page: str) -> None:
    """Every example of a receiver has the secret of the example of the setting."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    assert text.count(EXAMPLE_SECRET) == 4
