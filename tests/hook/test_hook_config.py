"""The section `policy_hook:` of the configuration file."""

import base64

import pytest
from hook_server import base58check

from signatory.config import load as config
from signatory.config.problems import ConfigProblemsError

KEY = "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"
NO_POINT = base58check("03b28b7f", b"\x02" + b"\xff" * 32)
RAW_KEY = base64.b64encode(bytes(1952)).decode()
"""Of the length of an ML-DSA-65 key, which has no address that a reply could name."""


def read(section: str) -> config.Config:
    return config.read(f"policy_hook: {section}\n".encode())


def complaint(section: str) -> str:
    with pytest.raises(ConfigProblemsError) as caught:
        read(section)
    return str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:7777/hook",
        "http://localhost",
        "http://[::1]:7777/",
        "https://approval.example/hook?token=x%20y&z=1",
        "HTTPS://approval.example:443",
    ],
)
def test_a_url_is_kept_as_written_without_a_word(address: str) -> None:
    found = read(f"{{address: '{address}'}}")
    assert found.policy_hook is not None
    assert (found.policy_hook.address, found.policy_hook.authorized_keys) == (address, None)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("localhost:7777/hook", "must be a URL with its scheme"),
        ("127.0.0.1:7777", "must be a URL with its scheme"),
        (":7777", "must be a URL with its scheme"),
        ("approval.example", "must be a URL with its scheme"),
        ("", "must be a URL with its scheme"),
        ("//approval.example/hook", "must be a URL with its scheme"),
        ("http:approval.example", "must be a URL with its scheme"),
        ("ftp://approval.example/", "must be a URL with its scheme"),
        ("unix:///run/hook", "must be a URL with its scheme"),
        ("http://", "must name a host"),
        ("http:///hook", "must name a host"),
        ("http://:7777/hook", "must name a host"),
        ("http://approval.example:0/", "must name a host"),
        ("http://approval.example:70000/", "must be a URL"),
        ("http://approval.example:http/", "must be a URL"),
        ("http://[::1/hook", "must be a URL"),
        ("http://user:s3cret@approval.example/", "must not hold a user name or a password"),
        ("http://s3cret@approval.example/", "must not hold a user name or a password"),
        ("http://approval.example/#s3cret", "must not hold a fragment"),
        ("http://approval.example/#", "must not hold a fragment"),
        ("http://approval.example/a b", "plain ASCII"),
        ("http://approval.example/\\n", "plain ASCII"),
        ("http://b\u00fcro.example/", "plain ASCII"),
    ],
)
def test_what_is_no_url_is_an_error_that_does_not_repeat_it(address: str, text: str) -> None:
    told = complaint(f'{{address: "{address}"}}')
    assert told.startswith("policy_hook.address (line 1): ")
    assert text in told
    assert "s3cret" not in told


def test_the_address_must_be_there() -> None:
    assert "policy_hook.address" in complaint("{authorized_keys: []}")
    assert read("").policy_hook is None


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("[]", "an empty list trusts no answer"),
        ("[[]]", "an empty list trusts no answer"),
        ("[tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B]", "this is the hash of a public key"),
        ("[edpk]", "policy_hook.authorized_keys[0]"),
        (f"[{KEY}, {NO_POINT}]", "policy_hook.authorized_keys"),
        (f"[{RAW_KEY}]", "ML-DSA-65 keys have no Tezos address"),
    ],
)
def test_keys_that_cannot_sign_an_answer_are_errors(keys: str, text: str) -> None:
    assert text in complaint(f"{{address: 'http://127.0.0.1/', authorized_keys: {keys}}}")


def test_one_key_or_a_list_may_stand() -> None:
    for keys in (KEY, f"[{KEY}]", f"[[{KEY}], {KEY}]"):
        hook = read(f"{{address: 'http://127.0.0.1/', authorized_keys: {keys}}}").policy_hook
        assert hook is not None
        assert [key.text for key in hook.authorized_keys or ()] == [KEY]


def test_plain_http_to_another_machine_is_a_warning() -> None:
    (unsigned,) = read("{address: 'http://10.0.0.7/hook?s3cret'}").warnings
    (signed,) = read(f"{{address: 'http://10.0.0.7/hook?s3cret', authorized_keys: {KEY}}}").warnings
    assert unsigned.startswith("policy_hook: `address` is plain http to another machine")
    assert "allow them" in unsigned
    assert "allow them" not in signed
    assert "s3cret" not in unsigned + signed


def test_an_unknown_key_is_named_with_the_nearest_known() -> None:
    assert "did you mean `address`?" in complaint("{adress: 'http://127.0.0.1/'}")
