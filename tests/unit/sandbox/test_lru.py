"""Memory that has a bound."""

from wechat_sandbox.lru import LruDict


def test_the_value_unused_for_longest_gives_way() -> None:
    """A value that was read stays before one that was not."""
    recent: LruDict[str, int] = LruDict(2)
    recent["a"], recent["b"] = 1, 2
    recent.get("a")
    recent["c"] = 3

    assert [recent.get(key) for key in "abc"] == [1, None, 3]
    assert len(recent) == 2


def test_a_value_is_made_when_it_is_missing() -> None:
    """What is there is not made again."""
    recent: LruDict[str, list[int]] = LruDict(2)
    recent.get_or_add("a", list).append(1)

    assert recent.get_or_add("a", list) == [1]
    assert recent.get("b") is None
