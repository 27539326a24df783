"""A dictionary with a maximum size."""

from wechat_sandbox.lru import LruDict


def test_the_least_recently_used_value_is_deleted() -> None:
    """When the dictionary is full, the value that was unused for longest is deleted."""
    recent: LruDict[str, int] = LruDict(2)
    recent["a"], recent["b"] = 1, 2
    recent.get("a")
    recent["c"] = 3

    assert [recent.get(key) for key in "abc"] == [1, None, 3]
    assert len(recent) == 2


def test_a_missing_value_is_created() -> None:
    """A value is created only if it is missing."""
    recent: LruDict[str, list[int]] = LruDict(2)
    recent.get_or_add("a", list).append(1)

    assert recent.get_or_add("a", list) == [1]
    assert recent.get("b") is None
