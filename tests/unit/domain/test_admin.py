"""Admins and their keys."""

import hashlib

import pytest

from domain.admin import Admin, AdminKeys, Scope, digest_of
from domain.errors import AdminKeyInvalid, ScopeMissing

ANN = Admin("ann", frozenset({Scope.READ}))
BOB = Admin("bob", frozenset({Scope.WRITE, Scope.ERASE}))
KEYS = AdminKeys({digest_of("key of ann"): ANN, digest_of("key of bob"): BOB})


def test_a_key_finds_its_owner() -> None:
    """Each key finds the admin for whom its SHA-256 is configured."""
    assert (KEYS.find("key of ann"), KEYS.find("key of bob")) == (ANN, BOB)
    assert digest_of("key of ann") == hashlib.sha256(b"key of ann").hexdigest()


@pytest.mark.parametrize("key", ["", "key of", "key of ann ", "KEY OF ANN", digest_of("key of ann"), "密钥", "\x00"])
def test_any_other_text_is_no_key(key: str) -> None:
    """Any text that is not a key raises AdminKeyInvalid, also the SHA-256 of one."""
    with pytest.raises(AdminKeyInvalid):
        KEYS.find(key)


def test_without_keys_there_is_no_admin() -> None:
    """Without configured keys, every text raises AdminKeyInvalid."""
    with pytest.raises(AdminKeyInvalid):
        AdminKeys({}).find("")


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("admin", [ANN, BOB], ids=lambda admin: admin.name)
def test_a_scope_is_had_or_missing(admin: Admin, scope: Scope) -> None:
    """An admin passes for the scopes of the key. Any other raises ScopeMissing, with the names of key and scope."""
    if scope in admin.scopes:
        admin.require(scope)
        return
    with pytest.raises(ScopeMissing) as missing:
        admin.require(scope)

    assert admin.name in missing.value.detail
    assert scope in missing.value.detail
