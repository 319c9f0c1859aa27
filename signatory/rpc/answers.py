"""The replies of the extended protocol as bytes.

A reply names its call by id and by the SHA-256 of the frame that asked, so that neither a late reply nor one
to a changed question can be taken for another. Source: docs/enclave-protocol.md.
"""

from collections.abc import Callable, Sequence
from typing import Any

from signatory.crypto.curves import LENGTHS, KeyType
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import fields, strict
from signatory.rpc import extended as ext
from signatory.rpc import shapes
from signatory.rpc.calls import MAX_ID
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
_LINKS = 12
_STATUS = ("release", "uptime", "sessions", "keys", "kms_calls")
_MOST = 2**63 - 1


def encode_answer(identifier: int, digest: bytes, answer: ext.Answer) -> bytes:
    return strict.encode({"id": identifier, "digest": digest, "reply": {"Ok": _answer_body(answer)}})


def encode_refusal(identifier: int, digest: bytes, chain: Sequence[str]) -> bytes:
    """An error and its sources, outermost first."""
    error: dict[str, Any] | None = None
    for message in reversed(chain):
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
    name = "Checkpoint" if isinstance(call, ext.SignCheckpoint) else type(call).__name__
    try:
        kind, value = fields.single(reply)
        if kind == "Ok":
            return _ANSWERS[type(call)](value)
        chain = _chain(value if kind == "Err" else None)
    except MalformedError as error:
        raise IntegrityError(f"the enclave's reply to {name} cannot be read: {error.message}") from error
    raise RemoteError(chain)


def _chain(value: Any) -> list[str]:
    chain: list[str] = []
    while value is not None and len(chain) < _LINKS:
        found = fields.exactly(value, ("message", "source"))
        if not isinstance(found["message"], str):
            raise MalformedError("message: a text was expected")
        chain.append(shapes.printable(found["message"], _TEXT))
        value = found["source"]
    if not chain:
        raise MalformedError("an error without a message")
    return chain


def _answer_body(answer: ext.Answer) -> Any:
    match answer:
        case None:
            return None
        case ext.Attested(document):
            return {"document": document}
        case ext.Born():
            return {
                "name": write_name(answer.name),
                "kms_key_arn": answer.kms_key_arn,
                "blob": answer.blob,
                "handle": answer.handle,
                "statement": answer.statement,
                "attestation": answer.attestation,
            }
        case Imported(key_type, public, handle):
            return {"public_key": {shapes.NAMES[key_type]: public}, "handle": handle}
        case Signed(key_type, signature):
            return {shapes.NAMES[key_type]: signature}
        case Public(key_type, public):
            return {shapes.NAMES[key_type]: public}
        case Proof(proof):
            return {"Bls": proof}
        case ext.EnclaveStatus():
            return {name: getattr(answer, name) for name in _STATUS}


def _born(value: Any) -> ext.Born:
    found = fields.exactly(value, ("name", "kms_key_arn", "blob", "handle", "statement", "attestation"))
    return ext.Born(
        read_name(found["name"]),
        fields.text(found["kms_key_arn"], "kms_key_arn", 256),
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
    release = fields.text(found.pop("release"), "release", 64)
    return ext.EnclaveStatus(
        release, **{name: fields.number(found[name], name, 0, _MOST) for name in _STATUS[1:]}
    )


def _nothing(value: Any) -> None:
    if value is not None:
        raise MalformedError("null was expected")


def _of_length(key_type: KeyType, value: Any, part: str) -> bytes:
    return fields.data(value, part, getattr(LENGTHS[key_type], part), getattr(LENGTHS[key_type], part))


_ANSWERS: dict[type, Callable[[Any], ext.Answer]] = {
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
    ext.Cancel: _nothing,
}
