"""What a client asks to have signed: the first byte says which kind of request it is.

Source: signatory-compat §4. A message is read to its last byte: what is not understood is not signed.
"""

from dataclasses import dataclass
from functools import lru_cache

from signatory.crypto.curves import SigningVersion
from signatory.tezos import base58, consensus, operations
from signatory.tezos.consensus import Content
from signatory.tezos.micheline import expression
from signatory.tezos.operations import Grammar
from signatory.tezos.reader import Reader, unknown_tag

GENERIC = 0x03
PACK = 0x05
BLOCK = 0x11
PREATTESTATION = 0x12
ATTESTATION = 0x13

_CHAIN_ID = bytes.fromhex("575200")


@dataclass(frozen=True, slots=True)
class SignRequest:
    """A request that was understood.

    `operations` are the kinds inside a generic request, in order. Chain, level and round are known for the
    kinds that have a watermark (block, preattestation, attestation, attestation_with_dal), else None.
    """

    kind: str
    operations: tuple[str, ...] = ()
    chain_id: str | None = None
    level: int | None = None
    round: int | None = None


@dataclass(frozen=True, slots=True)
class _Rules:
    """The grammar of one signature version."""

    operations: Grammar
    preattestations: dict[int, Content]
    attestations: dict[int, Content]
    pack: bool


_LATEST = _Rules(operations.LATEST, consensus.PREATTESTATIONS, consensus.ATTESTATIONS, pack=True)
_022 = _Rules(operations.PROTOCOL_022, consensus.PREATTESTATIONS_022, consensus.ATTESTATIONS_022, pack=False)


def parse(message: bytes, version: SigningVersion = SigningVersion.LATEST) -> SignRequest:
    """Read a request whole. Raises MalformedError, with Signatory's text where it has one.

    Version 1 is read by the grammar of protocol 022, every other version by that of protocol 025.
    """
    rules = _022 if version is SigningVersion.V1 else _LATEST
    reader = Reader(message, max_key_tag=rules.operations.max_key_tag)
    request = _request(reader, rules)
    reader.finish()
    return request


def _request(reader: Reader, rules: _Rules) -> SignRequest:
    magic = reader.u8()
    if magic == GENERIC:
        return SignRequest("generic", operations.batch(reader, rules.operations))
    if magic == BLOCK:
        chain = reader.take(4)
        return _placed("block", chain, consensus.block(reader))
    if magic == PREATTESTATION:
        chain = reader.take(4)
        kind, place = consensus.operation(reader, rules.preattestations)
        return _placed(kind, chain, place)
    if magic == ATTESTATION:
        chain = reader.take(4)
        kind, place = consensus.operation(reader, rules.attestations)
        return _placed(kind, chain, place)
    if magic == PACK and rules.pack:
        expression(reader)
        return SignRequest("pack")
    raise unknown_tag(magic)


def _placed(kind: str, chain: bytes, place: consensus.Place) -> SignRequest:
    level, round_ = place
    return SignRequest(kind, (), _chain_text(chain), level, round_)


@lru_cache(maxsize=64)
def _chain_text(chain: bytes) -> str:
    return base58.encode(_CHAIN_ID, chain)
