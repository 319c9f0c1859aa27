"""What differs between two files, told by paths and never by values."""

import pytest

from signatory.config import load as config
from signatory.config.changes import left_for_restart, taken_over
from signatory.config.load import Config

ONE, TWO = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx", "tz1gjaF81ZRRvdzjobyfVNsAeSC6PScjfQwN"
KEY = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
USERS = "server: {jwt: {users: {%s}}}"
PASSWORDS = "password: Alice-knows-16-it%s, secret: Alices secret of 32 characters 1-%s"
TLS = "server: {tls: {certificate: /%s.pem, key: /%s.key}}"


def user(name: str, end: str = "") -> str:
    return f"{name}: {{{PASSWORDS % (end, end)}}}"


def read(text: str) -> Config:
    return config.read(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("", "", []),
        ("log: {level: info}", "log: {level: debug}", ["log.level"]),
        ("", f"server: {{authorized_keys: [{KEY}]}}", ["server.authorized_keys"]),
        ("server: {authorized_keys: []}", "", ["server.authorized_keys"]),
        ("", USERS % user("alice"), ["server.jwt"]),
        (USERS % user("alice"), USERS % user("alice", "x"), ["server.jwt.users.alice"]),
        (USERS % f"{user('a')}, {user('b')}", USERS % user("b"), ["server.jwt.users.a"]),
        (TLS % ("a", "a"), TLS % ("b", "a"), ["server.tls"]),
        (f"tezos: {{{ONE}: }}", f"tezos: {{{ONE}: {{}}}}", [f"tezos.{ONE}"]),
        ("", f"tezos: {{{ONE}: }}", [f"tezos.{ONE}"]),
        (f"tezos: {{{ONE}: , {TWO}: }}", f"tezos: {{{TWO}: }}", [f"tezos.{ONE}"]),
        (f"tezos: {{{ONE}: {{vault: v}}}}\nvaults: {{v: {{driver: x}}}}", "vaults: {v: {driver: x}}",
         [f"tezos.{ONE}"]),
    ],
)  # fmt: skip
def test_what_takes_effect_at_once_is_told_by_its_path(old: str, new: str, paths: list[str]) -> None:
    for first, second in ((old, new), (new, old)):
        assert list(taken_over(read(first), read(second))) == paths
        assert left_for_restart(read(first), read(second)) == ()


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("", "base_dir: /other", ["base_dir"]),
        ("", "server: {address: ':1', utility_address: ':2'}", ["server.address", "server.utility_address"]),
        ("", "server: {reload: true, allow_dry_run: true}", ["server.allow_dry_run", "server.reload"]),
        ("", TLS % ("a", "a"), ["server.tls"]),
        ("", "watermark: {driver: mem}", ["watermark"]),
        ("watermark: {driver: aws}", "watermark: {driver: aws, config: {table: other}}", ["watermark"]),
        ("", "policy_hook: {address: 'http://127.0.0.1:1/'}", ["policy_hook"]),
        ("", "vaults: {v: {driver: x}}", ["vaults.v"]),
        ("vaults: {v: {driver: x, config: {secret: one}}, w: {driver: x}}",
         "vaults: {v: {driver: x, config: {secret: two}}, w: {driver: x}}", ["vaults.v"]),
    ],
)  # fmt: skip
def test_what_needs_a_restart_is_told_by_its_path(old: str, new: str, paths: list[str]) -> None:
    for first, second in ((old, new), (new, old)):
        assert sorted(left_for_restart(read(first), read(second))) == paths
        assert taken_over(read(first), read(second)) == ()


def test_every_setting_is_one_or_the_other() -> None:
    """A section that somebody adds must be decided upon."""
    assert set(Config.model_fields) == {
        "base_dir", "log", "server", "vaults", "watermark", "policy_hook", "tezos"
    }  # fmt: skip
    assert set(type(Config().log).model_fields) == {"level"}


def test_a_secret_that_was_pasted_as_a_name_is_not_told() -> None:
    secret = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
    (told,) = left_for_restart(Config(), read(f"vaults: {{{secret}: {{driver: x}}}}"))
    assert told == "vaults.edsk\u2026"
