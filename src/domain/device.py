"""Devices, and their labels: "iPhone · iOS 17.4 · WeChat 8.0.49"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LABEL_LENGTH = 64
"""In characters."""

APPLE = re.compile(r"\((iPhone|iPad|iPod)[^)]*? OS (\d+(?:_\d+)*) like Mac")
ANDROID = re.compile(r"Android (\d+(?:\.\d+)*)(?:; [a-z]{2}[-_][A-Za-z]{2})?(?:; ([^;)]+?))?(?: Build/[^;)]*)?[;)]")
HARMONY = re.compile(r"\(([A-Za-z]+)[^)]*?(?:OpenHarmony|HarmonyOS) (\d+(?:\.\d+)*)")
DESKTOPS = {
    re.compile(r"Windows NT"): "Windows",
    re.compile(r"Macintosh|Mac OS X|MacWechat"): "macOS",
    re.compile(r"Linux"): "Linux",
}
APPS = {
    re.compile(r"wechatdevtools/(\d+\.\d+\.\d+)"): "WeChat DevTools",
    re.compile(r"wxwork/(\d+\.\d+\.\d+)"): "WeCom",
    re.compile(r"MicroMessenger/(\d+\.\d+\.\d+)"): "WeChat",
    re.compile(r"Edg/(\d+)"): "Edge",
    re.compile(r"Firefox/(\d+)"): "Firefox",
    re.compile(r"Chrome/(\d+)"): "Chrome",
    re.compile(r"Version/(\d+)[.\d]* (?:Mobile/\w+ )?Safari"): "Safari",
}
"""The patterns of apps. The first that is found counts: User-Agents of WeChat also contain the names of browsers."""

PRODUCT = re.compile(r"^[A-Za-z0-9._-]{1,24}(?:/[0-9.]{1,16})?")
"""The first product of a User-Agent (RFC 9110 section 10.1.5), if it is short."""


@dataclass(frozen=True, slots=True)
class Device:
    """The device that a login comes from, as far as the request says. Stores may keep the label as `user_agent`."""

    user_agent: str | None = None
    ip: str | None = None

    @property
    def label(self) -> str | None:
        """Return the device, its system and the app as the User-Agent tells them, separated by " · ".

        A User-Agent in which neither is recognized is its own label, and the label of a label is the label. Labels are
        cut to 64 characters. None and "" have the label None.
        """
        if not self.user_agent:
            return None
        return (" · ".join(_parts(self.user_agent)) or self.user_agent)[:MAX_LABEL_LENGTH]

    @property
    def software(self) -> str | None:
        """Return the label without the model, or the first product of a User-Agent that is not recognized, or None.

        Its names are listed here and its versions are digits, so the sender of a User-Agent cannot write a sentence.
        """
        text = self.user_agent or ""
        parts = list(_parts(text, with_model=False)) or PRODUCT.findall(text)[:1]
        return " · ".join(parts)[:MAX_LABEL_LENGTH] or None


UNKNOWN_DEVICE = Device()
"""The device of a login that came by queue or command line."""


def _parts(user_agent: str, *, with_model: bool = True) -> Iterator[str]:
    yield from _system(user_agent, with_model=with_model)
    for pattern, name in APPS.items():
        if found := pattern.search(user_agent):
            yield f"{name} {found[1]}"
            return


def _system(user_agent: str, *, with_model: bool) -> Iterator[str]:
    if found := APPLE.search(user_agent):
        yield found[1]
        yield f"{'iPadOS' if found[1] == 'iPad' else 'iOS'} {found[2].replace('_', '.')}"
    elif found := HARMONY.search(user_agent):
        if with_model:
            yield found[1]
        yield f"HarmonyOS {found[2]}"
    elif found := ANDROID.search(user_agent):
        if with_model and found[2] and found[2] not in ("wv", "K"):
            yield found[2].strip()
        yield f"Android {found[1]}"
    elif user_agent.startswith("Mozilla/"):
        yield from [name for pattern, name in DESKTOPS.items() if pattern.search(user_agent)][:1]
