"""User agents at rest."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.redis.user_agent import pack, unpack

ANDROID = (
    "Mozilla/5.0 (Linux; Android 13; V2241A Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160117 MMWEBSDK/20240301 MMWEBID/8230 "
    "MicroMessenger/8.0.48.2580"
)

WRITTEN = "c50dc99a162985f9d00b7ad20b3c0b7bdb180301dc521edd30721950"


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_what_is_packed_comes_back(user_agent: str) -> None:
    """Whatever a client calls itself, it is shown as it was sent."""
    assert unpack(pack(user_agent)) == user_agent


def test_wechats_take_a_seventh() -> None:
    """A phone's user agent, longer than the rest of a session, takes less than a seventh of its length."""
    assert len(pack(ANDROID)) < len(ANDROID) / 7


def test_what_was_written_once_can_be_read_for_ever() -> None:
    """The phrases are part of the format: what an earlier version wrote is read by the next."""
    assert unpack(bytes.fromhex(WRITTEN)) == ANDROID
    assert pack(ANDROID).hex() == WRITTEN
