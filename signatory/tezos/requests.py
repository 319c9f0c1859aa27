"""What a client asks to have signed: the first byte says which kind of request it is.

Source: signatory-compat §4. A message is read to its last byte: what is not understood is not signed.
"""

from dataclasses import dataclass
from functools import lru_cache

from signatory.crypto.curves import SigningVersion
from signatory.errors import DeniedError, MalformedError
from signatory.tezos import base58, consensus, operations
from signatory.tezos.consensus import Content
from signatory.tezos.micheline import expression
from signatory.tezos.operations import Grammar, Operation
from signatory.tezos.reader import Reader, unknown_tag

GENERIC = 0x03
PACK = 0x05
BLOCK = 0x11
PREATTESTATION = 0x12
ATTESTATION = 0x13

_CHAIN_ID = bytes.fromhex("575200")


class GrammarConflictError(DeniedError):
    """The grammar that the client chose reads another request than the current one."""

    def __init__(self, kind: str, current: str) -> None:
        """`kind` is what protocol 022 reads, `current` what protocol 025 reads in the same bytes."""
        super().__init__(
            f"the request reads differently under protocol 025: `{current}', not `{kind}'",
            hint="ask without ?version=1",
        )
        self.reading = kind
        self.current = current


@dataclass(frozen=True, slots=True)
class SignRequest:
    """A request that was understood.

    `operations` are the kinds inside a generic request, in order, and `contents` the same operations as they
    were read. Chain, level and round are known for the kinds that have a watermark (block, preattestation,
    attestation, attestation_with_dal), else None.
    """

    kind: str
    operations: tuple[str, ...] = ()
    chain_id: str | None = None
    level: int | None = None
    round: int | None = None
    contents: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rules:
    """The grammar of one signature version."""

    operations: Grammar
    preattestations: dict[int, Content]
    attestations: dict[int, Content]
    pack: bool


_LATEST = _Rules(operations.LATEST, consensus.PREATTESTATIONS, consensus.ATTESTATIONS, pack=True)
_022 = _Rules(operations.PROTOCOL_022, consensus.PREATTESTATIONS_022, consensus.ATTESTATIONS_022, pack=False)


def understood(
    message: bytes, version: SigningVersion = SigningVersion.LATEST, *, allow_trailing: bool = False
) -> SignRequest:
    """Read a request that is to be judged and signed: `parse`, and a client does not gain by an old grammar.

    Raises MalformedError as `parse` does. Raises GrammarConflictError for version 1 when the bytes are a
    request of protocol 025 too and that one is not the same.
    """
    request = parse(message, version, allow_trailing=allow_trailing)
    if version is SigningVersion.V1:
        try:
            current = parse(message, allow_trailing=allow_trailing)
        except MalformedError:
            return request
        if current != request:
            raise GrammarConflictError(_told(request), _told(current))
    return request


def parse(
    message: bytes, version: SigningVersion = SigningVersion.LATEST, *, allow_trailing: bool = False
) -> SignRequest:
    """Read a request whole. Raises MalformedError, with Signatory's text where it has one.

    Version 1 is read by the grammar of protocol 022, every other version by that of protocol 025. With
    `allow_trailing` bytes may follow the end of a packed value, a block or a consensus operation; the
    operations of a generic request have no end but that of the message.
    """
    rules = _022 if version is SigningVersion.V1 else _LATEST
    reader = Reader(message, max_key_tag=rules.operations.max_key_tag)
    request = _request(reader, rules)
    if not allow_trailing:
        reader.finish()
    return request


def _request(reader: Reader, rules: _Rules) -> SignRequest:
    magic = reader.u8()
    if magic == GENERIC:
        contents = operations.batch(reader, rules.operations)
        return SignRequest("generic", tuple([operation.kind for operation in contents]), contents=contents)
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


def _told(request: SignRequest) -> str:
    """The kinds of a request in few words; there may be very many."""
    kinds = request.operations[:4] or (request.kind,)
    return ", ".join(kinds) + (", ..." if len(request.operations) > len(kinds) else "")
