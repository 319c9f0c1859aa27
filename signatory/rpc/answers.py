"""The replies of the extended protocol as bytes.

A reply names its call by id and by the SHA-256 of the frame that asked, so that neither a late reply nor one
to a changed question can be taken for another. Source: docs/enclave-protocol.md.
"""

from collections.abc import Callable, Sequence
from typing import Any

from signatory.crypto.curves import LENGTHS, KeyType
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import fields, strict
from signatory.nitro.arn import Arn
from signatory.rpc import extended as ext
from signatory.rpc import shapes
from signatory.rpc.calls import MAX_ID, call_name
from signatory.rpc.names import read_name, write_name
from signatory.rpc.values import (
    GetPublicKey,
    Imported,
    Proof,
    ProvePossession,
    Public,
    RemoteError,
    Sign,
    Signed,
)
from signatory.rpc.wire import LIMIT_AFTER as MAX_BYTES

_TEXT = 500
_LINKS = 6
"""Sources of an error that the strict reader of CBOR goes down to."""
_STATUS = ("release", "uptime", "sessions", "keys", "kms_calls")
_MOST = 2**63 - 1


def encode_answer(identifier: int, digest: bytes, answer: ext.Answer) -> bytes:
    body = _WRITERS[type(answer)](answer)
    return strict.encode({"id": identifier, "digest": digest, "reply": {"Ok": body}})


def encode_refusal(identifier: int, digest: bytes, chain: Sequence[str]) -> bytes:
    """An error and its sources, outermost first; those too deep for a reader are joined into one."""
    links = [*chain[: _LINKS - 1], ": ".join(chain[_LINKS - 1 :])] if len(chain) > _LINKS else chain
    error: dict[str, Any] | None = None
    for message in reversed(links):
        error = {"message": message, "source": error}
    return strict.encode({"id": identifier, "digest": digest, "reply": {"Err": error}})


def decode_answer_id(body: bytes) -> tuple[int, bytes, Any]:
    """Id, digest and the reply itself, for `decode_answer`. Raises IntegrityError."""
    try:
        found = fields.exactly(strict.decode(body), ("id", "digest", "reply"))
        identifier = fields.number(found["id"], "id", 0, MAX_ID)
        return identifier, fields.data(found["digest"], "digest", 32, 32), found["reply"]
    except MalformedError as error:
        raise IntegrityError(f"the enclave sent what is no reply: {error.message}") from error


def decode_answer(call: ext.Call, reply: Any) -> ext.Answer:
    """The reply to this call. Raises RemoteError when the enclave says no, IntegrityError for no reply."""
    name = call_name(call)
    try:
        kind, value = fields.single(reply)
        if kind == "Ok":
            return _READERS[type(call)](value)
        chain = _chain(value if kind == "Err" else None)
    except MalformedError as error:
        raise IntegrityError(f"the enclave's reply to {name} cannot be read: {error.message}") from error
    raise RemoteError(chain)


def _chain(value: Any) -> list[str]:
    chain: list[str] = []
    while value is not None:
        found = fields.exactly(value, ("message", "source"))
        if not isinstance(found["message"], str):
            raise MalformedError("message: a text was expected")
        chain.append(shapes.printable(found["message"], _TEXT))
        value = found["source"]
    if not chain:
        raise MalformedError("an error without a message")
    return chain


def _write_born(answer: ext.Born) -> dict[str, Any]:
    return {
        "name": write_name(answer.name),
        "kms_key_arn": answer.kms_key_arn,
        "blob": answer.blob,
        "handle": answer.handle,
        "statement": answer.statement,
        "attestation": answer.attestation,
    }


_WRITERS: dict[type, Callable[[Any], Any]] = {
    type(None): lambda _: None,
    ext.Attested: lambda answer: {"document": answer.document},
    ext.Born: _write_born,
    Imported: lambda answer: {
        "public_key": {shapes.NAMES[answer.key_type]: answer.public},
        "handle": answer.handle,
    },
    Signed: lambda answer: {shapes.NAMES[answer.key_type]: answer.signature},
    Public: lambda answer: {shapes.NAMES[answer.key_type]: answer.public},
    Proof: lambda answer: {"Bls": answer.proof},
    ext.EnclaveStatus: lambda answer: {name: getattr(answer, name) for name in _STATUS},
}


def _born(value: Any) -> ext.Born:
    found = fields.exactly(value, ("name", "kms_key_arn", "blob", "handle", "statement", "attestation"))
    return ext.Born(
        read_name(found["name"]),
        str(Arn.parse(fields.text(found["kms_key_arn"], "kms_key_arn", 256))),
        fields.data(found["blob"], "blob", 1, MAX_BYTES),
        fields.number(found["handle"], "handle", 0, 2**32 - 1),
        fields.data(found["statement"], "statement", 1, MAX_BYTES),
        fields.data(found["attestation"], "attestation", 1, MAX_BYTES),
    )


def _imported(value: Any) -> Imported:
    found = fields.exactly(value, ("public_key", "handle"))
    name, public = fields.single(found["public_key"])
    key_type = shapes.family(name)
    return Imported(
        key_type,
        _of_length(key_type, public, "public"),
        fields.number(found["handle"], "handle", 0, 2**32 - 1),
    )


def _signed(value: Any) -> Signed:
    name, signature = fields.single(value)
    key_type = shapes.family(name)
    return Signed(key_type, _of_length(key_type, signature, "signature"))


def _public(value: Any) -> Public:
    name, public = fields.single(value)
    key_type = shapes.family(name)
    return Public(key_type, _of_length(key_type, public, "public"))


def _proof(value: Any) -> Proof:
    name, proof = fields.single(value)
    if name != "Bls":
        raise MalformedError("a proof is of a BLS key")
    return Proof(fields.data(proof, "proof", 96, 96))


def _enclave_status(value: Any) -> ext.EnclaveStatus:
    found = fields.exactly(value, _STATUS)
    release = fields.word(found.pop("release"), "release", 64)
    return ext.EnclaveStatus(
        release, **{name: fields.number(found[name], name, 0, _MOST) for name in _STATUS[1:]}
    )


def _nothing(value: Any) -> None:
    if value is not None:
        raise MalformedError("null was expected")


def _undue(_: Any) -> None:
    raise MalformedError("none was due")


def _of_length(key_type: KeyType, value: Any, part: str) -> bytes:
    return fields.data(value, part, getattr(LENGTHS[key_type], part), getattr(LENGTHS[key_type], part))


_READERS: dict[type, Callable[[Any], ext.Answer]] = {
    ext.Attest: lambda value: ext.Attested(
        fields.data(fields.exactly(value, ("document",))["document"], "document", 1, MAX_BYTES)
    ),
    ext.RenewCredentials: _nothing,
    ext.GenerateAttested: _born,
    ext.ImportSealed: _born,
    ext.LoadSealed: _imported,
    Sign: _signed,
    GetPublicKey: _public,
    ProvePossession: _proof,
    ext.ProvePossessionOf: _proof,
    ext.SignCheckpoint: _signed,
    ext.Status: _enclave_status,
    ext.Cancel: _undue,
}
