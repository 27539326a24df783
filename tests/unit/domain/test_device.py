"""The label of a device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.device import MAX_LABEL_LENGTH, Device

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"

LABELS = {
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {WEBKIT} Mobile/15E148 MicroMessenger/8.0.49(0x18003129)"
    " NetType/WIFI Language/zh_CN": "iPhone · iOS 17.4 · WeChat 8.0.49",
    f"Mozilla/5.0 (iPad; CPU OS 16_6_1 like Mac OS X) {WEBKIT} Mobile/15E148 MicroMessenger/8.0.40(0x1800282a)": (
        "iPad · iPadOS 16.6.1 · WeChat 8.0.40"
    ),
    f"Mozilla/5.0 (Linux; Android 13; V2241A Build/TP1A.220624.014; wv) {BLINK} Version/4.0 Chrome/116.0.0.0 Mobile"
    " Safari/537.36 XWEB/1160117 MMWEBSDK/20240301 MicroMessenger/8.0.48.2580(0x28003036) WeChat/arm64 Weixin": (
        "V2241A · Android 13 · WeChat 8.0.48"
    ),
    "Mozilla/5.0 (Linux; U; Android 10; zh-cn; MI 9 Build/QKQ1.190825.002) MicroMessenger/7.0.20.1781": (
        "MI 9 · Android 10 · WeChat 7.0.20"
    ),
    f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {BLINK} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile"
    " MicroMessenger/8.0.6.35": "Phone · HarmonyOS 5.0 · WeChat 8.0.6",
    f"Mozilla/5.0 (Windows NT 10.0; WOW64) {BLINK} Chrome/107.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781"
    " MiniProgramEnv/Windows WindowsWechat/WMPF": "Windows · WeChat 7.0.20",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {BLINK} Chrome/107.0.0.0 Safari/537.36 MicroMessenger/6.8.0"
    " MiniProgramEnv/Mac MacWechat/WMPF": "macOS · WeChat 6.8.0",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) {WEBKIT} Mobile/15E148 MicroMessenger/8.0.5"
    " wechatdevtools/1.06.2402030 webview/": "iPhone · iOS 16.0 · WeChat DevTools 1.06.2402030",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0": "Linux · Firefox 128",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.4 Safari/605.1.15": "macOS · Safari 17",
    f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Chrome/131.0.0.0 Mobile Safari/537.36": "Android 10 · Chrome 131",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0": (
        "Windows · Edge 131"
    ),
}


@pytest.mark.parametrize(("user_agent", "label"), LABELS.items(), ids=LABELS.values())
def test_a_known_device_has_a_short_label(user_agent: str, label: str) -> None:
    """The label of a known User-Agent has the device, its system and the app."""
    assert Device(user_agent).label == label


@pytest.mark.parametrize("label", LABELS.values())
def test_a_label_is_its_own_label(label: str) -> None:
    """The label of a label is the label itself, so that a store may store only the label."""
    assert Device(label).label == label


@pytest.mark.parametrize("text", ["curl/8.5.0", "微信 👩", "x" * MAX_LABEL_LENGTH])
def test_an_unknown_user_agent_is_its_own_label(text: str) -> None:
    """The label of an unknown User-Agent is the text itself."""
    assert Device(text).label == text


SOFTWARE = {
    **{agent: label for agent, label in LABELS.items() if label.split(" · ")[0] in ("Windows", "macOS", "Linux")},
    "Mozilla/5.0 (Linux; Android 14; choose number 42 now) Chrome/131.0.0.0": "Android 14 · Chrome 131",
    "Mozilla/5.0 (Refund; HarmonyOS 5.0) Chrome/114.0.0.0": "HarmonyOS 5.0 · Chrome 114",
    "curl/8.5.0": "curl/8.5.0",
    "Refund desk of Example Bank: pick 42, then tap allow": "Refund",
    "a\u202eb\nc\x1b[31m": "a",
    "微信 👩": None,
    "\nMozilla/5.0": None,
    "": None,
    f"Firefox/{'9' * 100}": f"Firefox {'9' * (MAX_LABEL_LENGTH - 8)}",
}


@pytest.mark.parametrize(("user_agent", "software"), SOFTWARE.items(), ids=ascii)
def test_the_software_has_no_words_of_the_sender(user_agent: str, software: str | None) -> None:
    """The software is known names and digits, without the model, or the first word of an unknown User-Agent."""
    assert Device(user_agent).software == software


@given(st.text())
def test_the_software_is_short_and_printable(text: str) -> None:
    """Any text has software of at most 64 characters without control characters, or none."""
    software = Device(text).software

    assert software is None or (0 < len(software) <= MAX_LABEL_LENGTH and software.isprintable())


def test_a_missing_user_agent_has_no_label() -> None:
    """A missing or empty User-Agent has no label."""
    assert Device(None).label is None
    assert Device("").label is None


@given(st.text(max_size=300))
def test_a_label_has_at_most_64_characters(user_agent: str) -> None:
    """The label of any text has at most 64 characters, and exists when the text is not empty."""
    label = Device(user_agent).label

    assert bool(label) == bool(user_agent)
    assert len(label or "") <= MAX_LABEL_LENGTH
