"""Attestation documents are looked at before they leave: the module may be wrong."""

from collections.abc import Sequence
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis.strategies import binary

from enclave_signer import documents
from enclave_signer.kms import AttestationError
from signatory.nitro import nsm


class LyingModule:
    """Answers every request for a document with this one."""

    def __init__(self, document: bytes) -> None:
        self._document = document

    async def request(self, body: bytes) -> bytes:
        del body
        return nsm.encode_reply(nsm.Attestation(), self._document)


def _document(parts: Sequence[Any] | None = None, *, tag: bytes = b"", **payload: Any) -> bytes:
    usual = {"module_id": "m", "public_key": None, "user_data": b"u", "nonce": b"n"}
    inner = cbor2.dumps({**usual, **payload})
    return tag + cbor2.dumps([b"", {}, inner, b""] if parts is None else list(parts))


@pytest.mark.parametrize("tag", [b"", b"\xd2"])
async def test_a_document_with_what_was_asked_for_is_handed_on(tag: bytes) -> None:
    document = _document(tag=tag)
    assert await documents.make(LyingModule(document), user_data=b"u", nonce=b"n") == document


@pytest.mark.parametrize(
    "document",
    [
        _document(user_data=b"v"),
        _document(user_data=None),
        _document(nonce=None),
        _document(nonce=b""),
        _document(public_key=b"k"),
        _document([b"", {}, b"", b""]),
        _document([b"", {}, b"\xa0"]),
        _document([b"", {}, "text", b""]),
        _document(tag=b"\xd1"),
        _document() + b"\0",
        b"\xd2",
        b"\xa0",
    ],
)
async def test_a_document_with_anything_else_is_not(document: bytes) -> None:
    with pytest.raises(AttestationError):
        await documents.make(LyingModule(document), user_data=b"u", nonce=b"n")


@given(document=binary(min_size=1, max_size=200))
async def test_no_bytes_of_a_module_end_in_anything_but_an_error(document: bytes) -> None:
    with pytest.raises(AttestationError):
        await documents.make(LyingModule(document), user_data=b"u", nonce=b"n")
