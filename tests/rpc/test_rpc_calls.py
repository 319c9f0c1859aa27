"""The calls of the extended protocol, byte by byte."""

import hashlib
from typing import Any

import pytest
from extended_samples import CALLS, NONCE, envelope, name_of

from signatory.rpc import calls
from signatory.rpc import extended as ext
from signatory.rpc.values import GetPublicKey, Sign

GOLDEN: list[tuple[ext.Envelope, str]] = [
    (
        ext.Envelope(1, ext.Status(), 5000),
        "a3 626964 01 6677697468696e 191388 6463616c6c a1 66537461747573 a0",
    ),
    (
        ext.Envelope(2**63 - 1, ext.Cancel(24)),
        "a3 626964 1b7fffffffffffffff 6677697468696e f6 6463616c6c a1 6643616e63656c a1 626964 1818",
    ),
    (
        ext.Envelope(256, ext.Attest(NONCE), 1),
        "a3 626964 190100 6677697468696e 01 6463616c6c a1 66417474657374 a1 656e6f6e6365 50" + NONCE.hex(),
    ),
    (
        ext.Envelope(0, Sign(7, b"\x03\x04"), 600_000),
        (
            "a3 626964 00 6677697468696e 1a000927c0 6463616c6c a1 645369676e"
            "a3 6668616e646c65 07 676d657373616765 420304 6776657273696f6e 18ff"
        ),
    ),
    (
        ext.Envelope(3, GetPublicKey(9)),
        "a3 626964 03 6677697468696e f6 6463616c6c a1 695075626c69634b6579 a1 6668616e646c65 09",
    ),
]

every = pytest.mark.parametrize("sample", CALLS, ids=name_of)


@pytest.mark.parametrize(("value", "encoded"), GOLDEN)
def test_an_envelope_is_these_bytes(value: ext.Envelope, encoded: str) -> None:
    body = bytes.fromhex(encoded)
    assert calls.encode_envelope(value) == body
    assert calls.decode_envelope(body) == value
    assert calls.decode_id(body) == value.id


@every
def test_every_call_is_written_as_another_encoder_writes_it(sample: tuple[ext.Call, Any]) -> None:
    call, value = sample
    assert calls.encode_envelope(ext.Envelope(1, call)) == envelope(value)
    assert calls.encode_envelope(ext.Envelope(2, call, 30_000)) == envelope(value, 2, 30_000)


@every
def test_every_call_is_read_from_another_encoders_bytes(sample: tuple[ext.Call, Any]) -> None:
    call, value = sample
    assert calls.decode_envelope(envelope(value, 9, 250)) == ext.Envelope(9, call, 250)


def test_every_call_there_is_has_a_sample() -> None:
    assert {type(call) for call, _ in CALLS} == set(ext.Call.__args__)
    assert {calls.call_name(call) for call, _ in CALLS} == {name for _, value in CALLS for name in value}


def test_a_secret_shows_in_no_repr() -> None:
    for call, _ in CALLS:
        assert "sealed=" not in repr(call)
        assert "blob" not in repr(call)
        assert "x03text" not in repr(ext.Envelope(1, call))


def test_a_digest_is_the_sha256_of_the_frames_body() -> None:
    assert calls.digest_of(b"body") == hashlib.sha256(b"body").digest()
