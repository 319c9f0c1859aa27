"""SigV4 against botocore's own signer: the same bytes for the same request, and only those are accepted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.nitro import sigv4

NOW = datetime(2026, 11, 21, 9, 8, 7, tzinfo=UTC)
KEY = sigv4.AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION = sigv4.AccessKey("ASIAEXAMPLE", "secret", "IQoJb3JpZ2luX2VjE//+==")
HOST = "kms.us-west-2.amazonaws.com"
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Decrypt"}
BODY = b'{"CiphertextBlob":"AQIDBA=="}'


def _theirs(
    method: str,
    host: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    key: sigv4.AccessKey,
    now: datetime,
) -> str:
    request = AWSRequest(method, f"https://{host}{path}", data=body, headers=headers)
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    # The only thing replaced is the clock, which botocore reads itself.
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=now.replace(tzinfo=None)):
        botocore.auth.SigV4Auth(credentials, "kms", "us-west-2").add_auth(request)
    return str(request.headers["Authorization"])


def _ours(
    method: str,
    host: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    key: sigv4.AccessKey,
    now: datetime,
) -> dict[str, str]:
    return sigv4.sign(method, host, path, headers, body, key, "us-west-2", "kms", now)


def _cases() -> Iterator[tuple[str, str, str, dict[str, str], bytes, sigv4.AccessKey]]:
    bodies = (b"", b"{}", BODY, bytes(range(256)) * 20)
    headers: tuple[dict[str, str], ...] = (
        {},
        HEADERS,
        HEADERS | {"User-Agent": "x/1", "Accept": "*/*"},
        {"content-type": "  application/json ;  charset=utf-8 ", "x-amz-meta-a": "a   b\tc", "zz": ""},
        {"X-Amz-Meta-B": "2", "X-Amz-Meta-A": "1", "traceparent": "00-1-2-00"},
    )
    for key in (KEY, SESSION):
        for body in bodies:
            for each in headers:
                yield "POST", HOST, "/", each, body, key
        for path in ("/keys", "/a%20b", "/a/b/", "/~x_y-z.w", "/=@:+,;!"):
            yield "GET", "127.0.0.1:8443", path, HEADERS, b"", key


@pytest.mark.parametrize(("method", "host", "path", "headers", "body", "key"), list(_cases()))
def test_the_authorization_is_botocores_byte_for_byte_and_verifies(
    method: str, host: str, path: str, headers: dict[str, str], body: bytes, key: sigv4.AccessKey
) -> None:
    ours = _ours(method, host, path, headers, body, key, NOW)
    assert ours["Authorization"] == _theirs(method, host, path, headers, body, key, NOW)
    assert ours.get("X-Amz-Security-Token") == key.session_token
    assert (
        sigv4.verify(method, path, ours, body, key, "us-west-2", "kms", NOW).access_key_id
        == key.access_key_id
    )


@settings(max_examples=200)
@given(
    body=st.binary(max_size=200),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
    token=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    seconds=st.integers(0, 4_000_000_000),
)
def test_it_is_botocores_for_any_body_secret_token_header_and_time(
    body: bytes, secret: str, token: str | None, value: str, seconds: int
) -> None:
    key, now = sigv4.AccessKey("AKID", secret, token), datetime.fromtimestamp(seconds, UTC)
    headers = HEADERS | {"X-Amz-Extra": value}
    ours = _ours("POST", HOST, "/", headers, body, key, now)
    assert ours["Authorization"] == _theirs("POST", HOST, "/", headers, body, key, now)


def test_what_botocore_signs_is_accepted() -> None:
    theirs = _theirs("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    sent = HEADERS | {
        "Host": HOST,
        "X-Amz-Date": "20261121T090807Z",
        "X-Amz-Security-Token": str(SESSION.session_token),
        "Authorization": theirs,
        "Content-Length": str(len(BODY)),
    }
    assert sigv4.verify("POST", "/", sent, BODY, SESSION, "us-west-2", "kms", NOW).region == "us-west-2"


def _refusal(
    headers: dict[str, str],
    *,
    body: bytes = BODY,
    key: sigv4.AccessKey = SESSION,
    now: datetime = NOW,
    path: str = "/",
) -> str:
    with pytest.raises(sigv4.SignatureRefusedError) as caught:
        sigv4.verify("POST", path, headers, body, key, "us-west-2", "kms", now)
    for secret in (KEY.secret_access_key, str(SESSION.session_token)):
        assert secret not in str(caught.value)
    return caught.value.name


def test_a_change_anywhere_is_refused() -> None:
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    assert _refusal(signed, body=BODY + b" ") == "InvalidSignatureException"
    assert _refusal(signed, path="/x") == "InvalidSignatureException"
    assert _refusal(signed, path="/?a=b") == "InvalidSignatureException"
    assert _refusal(signed, path="/../") == "InvalidSignatureException"
    other = sigv4.AccessKey(SESSION.access_key_id, "another secret", SESSION.session_token)
    assert _refusal(signed, key=other) == "InvalidSignatureException"
    for name, value in (
        ("Host", "evil"),
        ("X-Amz-Target", "TrentService.Encrypt"),
        ("Content-Type", "text/plain"),
    ):
        assert _refusal(signed | {name: value}) == "InvalidSignatureException"
    text = signed["Authorization"]
    assert _refusal(signed | {"Authorization": text[:-1] + ("0" if text[-1] != "0" else "1")}) == (
        "InvalidSignatureException"
    )


def test_every_amz_header_the_content_type_and_the_host_must_be_signed() -> None:
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    assert _refusal(signed | {"X-Amz-New": "1"}) == "InvalidSignatureException"
    bare = _ours("POST", HOST, "/", {}, BODY, SESSION, NOW)
    assert _refusal(bare | {"Content-Type": "x"}) == "InvalidSignatureException"
    missing = {name: value for name, value in signed.items() if name != "X-Amz-Target"}
    assert _refusal(missing) == "InvalidSignatureException"


@pytest.mark.parametrize("minutes", [-5, 5])
def test_the_time_may_be_five_minutes_off_and_no_more(minutes: int) -> None:
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    edge = NOW + timedelta(minutes=minutes)
    sigv4.verify("POST", "/", signed, BODY, SESSION, "us-west-2", "kms", edge)
    assert (
        _refusal(signed, now=edge + timedelta(seconds=1 if minutes > 0 else -1))
        == "InvalidSignatureException"
    )


def test_the_scope_must_be_this_region_this_service_and_this_day() -> None:
    for region, service in (("us-east-1", "kms"), ("us-west-2", "s3")):
        signed = sigv4.sign("POST", HOST, "/", HEADERS, BODY, SESSION, region, service, NOW)
        assert _refusal(signed) == "InvalidSignatureException"
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    moved = signed["Authorization"].replace("/20261121/", "/20261120/")
    assert _refusal(signed | {"Authorization": moved}) == "InvalidSignatureException"


def test_the_session_token_must_be_the_keys_own() -> None:
    wrong = sigv4.AccessKey(SESSION.access_key_id, SESSION.secret_access_key, "another")
    assert _refusal(_ours("POST", HOST, "/", HEADERS, BODY, wrong, NOW)) == "UnrecognizedClientException"
    without = sigv4.AccessKey(SESSION.access_key_id, SESSION.secret_access_key)
    assert _refusal(_ours("POST", HOST, "/", HEADERS, BODY, without, NOW)) == "UnrecognizedClientException"
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    assert _refusal(signed, key=KEY) == "UnrecognizedClientException"


def test_a_request_without_a_signature_says_so() -> None:
    assert _refusal(HEADERS) == "MissingAuthenticationTokenException"
    with pytest.raises(sigv4.SignatureRefusedError, match="Missing"):
        sigv4.parse_authorization(None)


@pytest.mark.parametrize(
    "time", ["", "20261121", "20261321T090807Z", "2026-11-21T09:08:07Z", "20261121T090807"]
)
def test_the_time_has_one_form(time: str) -> None:
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    assert _refusal(signed | {"X-Amz-Date": time}) == "IncompleteSignatureException"


@pytest.mark.parametrize(
    "text",
    [
        "Basic abc",
        "AWS4-HMAC-SHA256 Credential=A/20261121/us-west-2/kms/aws4_request",
        "AWS4-HMAC-SHA256 Credential=A/20261121/us-west-2/kms, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=A/20261121/r/kms/aws4_request, SignedHeaders=host, Signature="
        + "0" * 63,
        "AWS4-HMAC-SHA256 Credential=A/20261121/r/kms/aws4_request, SignedHeaders=host, Signature="
        + "A" * 64,
        "AWS4-HMAC-SHA256 Credential=A/20261121/r/kms/aws4_request, SignedHeaders=x;host, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=A/20261121/r/kms/aws4_request, SignedHeaders=host;host, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=A/20261121/r/kms/aws4_request, SignedHeaders=, Signature=" + "0" * 64,
    ],
)
def test_another_authorization_is_incomplete(text: str) -> None:
    with pytest.raises(sigv4.SignatureRefusedError) as caught:
        sigv4.parse_authorization(text)
    assert caught.value.name == "IncompleteSignatureException"


@given(
    text=st.text(max_size=200), names=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4)
)
def test_any_header_text_is_refused_by_name(text: str, names: dict[str, str]) -> None:
    signed = _ours("POST", HOST, "/", HEADERS, BODY, SESSION, NOW)
    _refusal(signed | {"Authorization": text})
    with pytest.raises(sigv4.SignatureRefusedError):
        sigv4.verify("POST", text, names, BODY, SESSION, "us-west-2", "kms", NOW)


@pytest.mark.parametrize(
    ("key", "headers", "region"),
    [
        (sigv4.AccessKey("AK\r\nX: y", "s"), {}, "us-west-2"),
        (sigv4.AccessKey("", "s"), {}, "us-west-2"),
        (sigv4.AccessKey("AK", ""), {}, "us-west-2"),
        (sigv4.AccessKey("AK", "s", "a b"), {}, "us-west-2"),
        (sigv4.AccessKey("AK", "s", ""), {}, "us-west-2"),
        (KEY, {"X": "a\r\nY: b"}, "us-west-2"),
        (KEY, {"X y": "a"}, "us-west-2"),
        (KEY, {"X": "1", "x": "2"}, "us-west-2"),
        (KEY, {}, "us-west-2/evil"),
        (KEY, {}, ""),
    ],
)
def test_nothing_is_signed_that_would_say_something_else_on_the_wire(
    key: sigv4.AccessKey, headers: dict[str, str], region: str
) -> None:
    with pytest.raises(MalformedError) as caught:
        sigv4.sign("POST", HOST, "/", headers, b"", key, region, "kms", NOW)
    assert KEY.secret_access_key not in str(caught.value)


def test_a_key_shows_neither_secret_nor_token() -> None:
    assert repr(SESSION) == "AccessKey(access_key_id='ASIAEXAMPLE')"
