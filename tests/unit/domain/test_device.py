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
