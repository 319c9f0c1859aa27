"""What goes to a hook, byte for byte, and the reader of signed replies."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.hook.seam import Question
from signatory.hook.wire import Reply, encode, shown

NONCE = bytes(range(32))
NONCE_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_a_question_is_go_s_json_byte_for_byte() -> None:
    question = Question("tz1abc", "192.0.2.7", "tz1def", bytes.fromhex("03fbef00"))
    assert encode(question, NONCE) == (
        b'{"request":"A/vvAA==","source":"192.0.2.7","client_key_hash":"tz1def","public_key_hash":"tz1abc",'
        b'"nonce":"' + NONCE_TEXT.encode() + b'"}'
    )


def test_a_proof_is_null_and_an_unknown_client_is_left_out() -> None:
    assert encode(Question("tz4abc", "192.0.2.7", None, None), NONCE) == (
        b'{"request":null,"source":"192.0.2.7","public_key_hash":"tz4abc","nonce":"'
        + NONCE_TEXT.encode()
        + b'"}'
    )
    assert b'"request":"",' in encode(Question("tz1abc", "", None, b""), NONCE)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", ""),
        ("", ""),
        ('"', ""),
        ("/run/socket", ""),
    ],
)
def test_the_source_is_an_address_or_empty(source: str, told: str) -> None:
    assert json.loads(encode(Question("tz1abc", source, None, b""), NONCE))["source"] == told


@pytest.mark.parametrize("space", ["", " ", "\n\t\r "])
def test_the_payload_is_kept_as_sent(space: str) -> None:
    payload = ' { "status" :200,\t"error":"\\u006eo <\u00e9>" , "nonce":"AA==",\n"more":[1, 2.50] } '.strip()
    body = (
        f'{space}{{{space}"payload"{space}:{space}{payload}{space},{space}"signature":"sig"{space}}}{space}'
    )
    reply = Reply.parse(body.encode())
    assert reply.payload == payload.encode()
    assert (reply.status, reply.error, reply.nonce, reply.signature) == (200, "no <é>", b"\x00", "sig")


def test_the_payload_is_found_wherever_it_stands() -> None:
    body = b'{"a":{"payload":{"status":1}},"signature":"s","payload":{"status":2},"b":[{"payload":3}]}'
    assert Reply.parse(body).payload == b'{"status":2}'


def test_what_is_absent_or_null_is_empty() -> None:
    for body in (
        b'{"payload":{}}',
        b'{"payload":{"status":null,"error":null,"nonce":null},"signature":null}',
    ):
        reply = Reply.parse(body)
        assert (reply.status, reply.error, reply.public_key_hash, reply.nonce) == (0, "", "", b"")
        assert reply.signature == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"payload"',
        b"{}",
        b"{,}",
        b'{"payload":{}',
        b'{"payload":{}},',
        b'{"payload":{}} {}',
        b'{"payload":{},}',
        b'{"payload":{} "signature":""}',
        b'{"payload" {}}',
        b"{1:{}}",
        b'{payload:{"status":200}}',
        b'{"payload":null}',
        b'{"payload":"{}"}',
        b'{"payload":[]}',
        b'{"Payload":{}}',
        b'{"payload":{},"payload":{}}',
        b'{"payload":{"status":200,"status":200}}',
        b'{"payload":{},"x":{"y":1,"y":1}}',
        b'{"payload":{},"signature":"a","signature":"b"}',
        b'{"payload":{"status":"200"}}',
        b'{"payload":{"status":200.0}}',
        b'{"payload":{"status":2e2}}',
        b'{"payload":{"status":true}}',
        b'{"payload":{"status":NaN}}',
        b'{"payload":{"status":' + b"9" * 5000 + b"}}",
        b'{"payload":{"error":1}}',
        b'{"payload":{"error":"\x00"}}',
        b'{"payload":{"public_key_hash":[]}}',
        b'{"payload":{"nonce":"A"}}',
        b'{"payload":{"nonce":"A?=="}}',
        b'{"payload":{"nonce":7}}',
        b'{"payload":{},"signature":1}',
        b'{"payload":{"error":"\xff"}}',
        b'\xef\xbb\xbf{"payload":{}}',
        b'{"payload":' + b"[" * 60_000,
        b'{"payload":{"a":' * 10_000,
    ],
)
def test_a_reply_that_is_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        Reply.parse(body)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ \npayloadsignature0123', max_size=60))
def test_any_bytes_are_a_reply_or_malformed(body: bytes | str) -> None:
    try:
        reply = Reply.parse(body.encode() if isinstance(body, str) else body)
    except MalformedError:
        return
    assert isinstance(json.loads(reply.payload), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    more=st.dictionaries(st.text(), JSON, max_size=4),
    status=st.integers(-(2**40), 2**40),
    nonce=st.binary(max_size=40),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_what_another_writer_wrote_is_read(
    more: dict[str, Any], status: int, nonce: bytes, indent: int | None, ascii_only: bool
) -> None:
    payload = more | {"status": status, "nonce": base64.b64encode(nonce).decode(), "error": "no"}
    payload.pop("public_key_hash", None)
    text = json.dumps(payload, indent=indent, ensure_ascii=ascii_only)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a surrogate that stands alone
        return
    reply = Reply.parse(b'{"payload":' + encoded + b"}")
    assert (reply.payload, reply.status, reply.nonce, reply.error) == (encoded, status, nonce, "no")


def test_words_of_a_hook_are_printable_and_end() -> None:
    assert shown("not in the list: 192.0.2.7") == "not in the list: 192.0.2.7"
    assert shown("a\nb\x1b[31m\ud800") == "a\ufffdb\ufffd[31m\ufffd"
    assert len(shown("x" * 60_000)) < 300
