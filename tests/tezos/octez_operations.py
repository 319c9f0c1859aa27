"""The requests of protocols 025 and 022, described as Octez describes them, and what is in their values.

Source: operation_repr.ml and block_header_repr.ml of both protocols, and the modules that they name.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from octez_encoding import (
    BOOL,
    EMPTY,
    INT31,
    INT32,
    INT64,
    REST,
    UINT8,
    UINT16,
    Encoding,
    N,
    Source,
    UnreadableError,
    Z,
    conv,
    dynamic,
    fixed,
    guard,
    items,
    opt,
    padded,
    sequence,
    tup,
    union,
    varopt,
    whole,
)
from request_builder import FAMILIES, Read, b58

HASH = fixed(32)
BYTES = dynamic()
LEVEL = guard(INT32, lambda value: value >= 0)
TEZ = guard(N, lambda value: value < 2**63)
LIMIT = guard(N, lambda value: value < 2**70)
BITSET = guard(Z, lambda value: value >= 0)

# An expression: annotations are bytes, names of primitives are not looked up.
MICHELINE = Encoding(
    lambda source: _FORMS.read(source),  # noqa: PLW0108 - _FORMS is made of this
    lambda value: _FORMS.write(value),  # noqa: PLW0108 - the same
)
_FORMS = union(
    {0: Z, 1: BYTES, 2: sequence(MICHELINE), 9: tup(UINT8, sequence(MICHELINE), BYTES), 10: BYTES}
    | {3 + 2 * count: tup(UINT8, *[MICHELINE] * count) for count in range(3)}
    | {4 + 2 * count: tup(UINT8, *[MICHELINE] * count, BYTES) for count in range(3)}
)


def _script(source: Source) -> bytes:
    """Octez keeps the bytes and reads them when it runs them; what it then cannot read cannot run."""
    data: bytes = BYTES.read(source)
    if not whole(MICHELINE, data)[1]:
        raise UnreadableError
    return data


SCRIPT = Encoding(_script, BYTES.write)

ENTRYPOINTS = (
    b"default root do set_delegate remove_delegate deposit stake unstake finalize_unstake "
    b"set_delegate_parameters"
).split()
OWN = ENTRYPOINTS[6:]
ENTRYPOINT = conv(
    union(dict.fromkeys(range(10), EMPTY) | {255: dynamic(REST, UINT8, 31)}),
    lambda value: ENTRYPOINTS[value[0]] if value[0] < 10 else value[1] or b"default",
    lambda name: (ENTRYPOINTS.index(name), b"") if name in ENTRYPOINTS else (255, name),
)
ENTRYPOINT_NAME = conv(dynamic(longest=31), lambda name: name or b"default", lambda name: name)
DEFAULT_CALL = (b"default", b"\x03\x0b")
PARAMETERS = conv(
    opt(tup(ENTRYPOINT, SCRIPT)),
    lambda value: DEFAULT_CALL if value is None else value[0],
    lambda call: None if call == DEFAULT_CALL else (call,),
)

CONSENSUS = tup(UINT16, LEVEL, LEVEL, HASH)
WITH_DAL = tup(UINT16, LEVEL, LEVEL, HASH, BITSET)
BLS_CONSENSUS = tup(LEVEL, LEVEL, HASH)
PREATTESTATIONS = tup(BLS_CONSENSUS, sequence(UINT16))
ATTESTATIONS = tup(BLS_CONSENSUS, sequence(tup(UINT16, opt(BITSET))))
# A level below 0 can be written; every judgement of such a block fails.
SHELL = tup(LEVEL, UINT8, HASH, INT64, UINT8, HASH, sequence(BYTES), HASH)
VOTE = guard(UINT8, lambda value: value < 3)
BLOCK = tup(SHELL, tup(HASH, LEVEL, fixed(8), opt(HASH), VOTE))
SHARD = tup(INT31, BYTES, fixed(48))
SCALARS = sequence(HASH)
REVELATION = union({0: dynamic(REST, UINT16, 4096), 1: EMPTY, 2: tup(LEVEL, UINT8, UINT16, BYTES), 3: EMPTY})
INPUT = union({0: tup(LEVEL, N, BYTES), 1: REVELATION, 2: EMPTY})
STEP = union({0: sequence(tup(opt(HASH), N)), 1: tup(BYTES, opt(INPUT))})
REFUTATION = union({0: tup(HASH, HASH), 1: tup(N, STEP)})
COMMITMENT = tup(HASH, LEVEL, HASH, guard(INT64, lambda value: value >= 0))
CIRCUITS = guard(
    sequence(tup(BYTES, union(dict.fromkeys(range(3), EMPTY)))),
    lambda value: len({name for name, _ in value}) == len(value),
)


@dataclass(frozen=True)
class Protocol:
    """The encodings that the two protocols do not share are made for each."""

    latest: bool

    def kinds(self) -> dict[int, tuple[str, Encoding]]:
        families = [*enumerate(FAMILIES.values())][: 5 if self.latest else 4]
        key_hash = union(dict.fromkeys(dict(families), fixed(20)))
        key = union({tag: fixed(size) for tag, size in families})
        signature = guard(REST, lambda value: len(value) in ((64, 96, 2420) if self.latest else (64, 96)))
        kt1 = padded(fixed(20), 1)
        contract = union({0: key_hash, 1: kt1})
        block = dynamic(tup(BLOCK, signature))

        def manager(*fields: Encoding) -> Encoding:
            return tup(tup(key_hash, TEZ, LIMIT, LIMIT, LIMIT), *fields)

        def inlined(*tags: int) -> Encoding:
            known = {20: CONSENSUS, 21: CONSENSUS, 23: WITH_DAL, 30: PREATTESTATIONS, 31: ATTESTATIONS}
            return dynamic(tup(HASH, union({tag: known[tag] for tag in tags}), varopt(signature)))

        zk_operation = tup(INT31, HASH, Z, key_hash, fixed(20), SCALARS)
        zk_ticket = union({0: EMPTY, 1: tup(MICHELINE, MICHELINE, contract)})
        whitelist = guard(sequence(key_hash), lambda value: 4 + 21 * len(value) <= 4096 - 2)
        kinds = {
            1: ("seed_nonce_revelation", tup(LEVEL, HASH)),
            3: ("double_baking_evidence", tup(block, block)),
            4: ("activate_account", tup(fixed(20), fixed(20))),
            5: ("proposals", tup(key_hash, INT32, sequence(HASH, 20))),
            6: ("ballot", tup(key_hash, INT32, HASH, VOTE)),
            8: ("vdf_revelation", fixed(200)),
            9: ("drain_delegate", tup(key_hash, key_hash, key_hash)),
            17: ("failing_noop", BYTES),
            108: ("transaction", manager(TEZ, contract, PARAMETERS)),
            109: ("origination", manager(TEZ, opt(key_hash), SCRIPT, SCRIPT)),
            110: ("delegation", manager(opt(key_hash))),
            111: ("register_global_constant", manager(SCRIPT)),
            112: ("set_deposits_limit", manager(opt(TEZ))),
            113: ("increase_paid_storage", manager(Z, union({1: kt1}))),
            158: (
                "transfer_ticket",
                manager(SCRIPT, SCRIPT, contract, guard(N, bool), contract, ENTRYPOINT_NAME),
            ),
            200: ("smart_rollup_originate", manager(VOTE, BYTES, SCRIPT, opt(whitelist))),
            201: ("smart_rollup_add_messages", manager(sequence(BYTES))),
            202: ("smart_rollup_cement", manager(fixed(20))),
            203: ("smart_rollup_publish", manager(fixed(20), COMMITMENT)),
            204: ("smart_rollup_refute", manager(fixed(20), key_hash, REFUTATION)),
            205: ("smart_rollup_timeout", manager(fixed(20), key_hash, key_hash)),
            206: ("smart_rollup_execute_outbox_message", manager(fixed(20), HASH, BYTES)),
            207: ("smart_rollup_recover_bond", manager(fixed(20), key_hash)),
            230: ("dal_publish_commitment", manager(UINT8, fixed(48), fixed(96))),
            250: ("zk_rollup_origination", manager(BYTES, CIRCUITS, SCALARS, INT31)),
            251: ("zk_rollup_publish", manager(fixed(20), sequence(tup(zk_operation, zk_ticket)))),
            252: (
                "zk_rollup_update",
                manager(
                    fixed(20),
                    sequence(tup(BYTES, SCALARS, HASH, BOOL)),
                    sequence(tup(BYTES, SCALARS, HASH)),
                    SCALARS,
                    BYTES,
                ),
            ),
        }
        if self.latest:
            evidence, proof = inlined(20, 21, 23, 30, 31), opt(dynamic(fixed(96)))
            return kinds | {
                2: ("double_consensus_operation_evidence", tup(UINT16, evidence, evidence)),
                24: ("dal_entrapment_evidence", tup(evidence, UINT16, UINT8, opt(UINT8), SHARD)),
                107: ("reveal", manager(key, proof)),
                114: ("update_consensus_key", manager(key, proof)),
                115: ("update_companion_key", manager(key, proof)),
            }
        return kinds | {
            2: ("double_attestation_evidence", tup(inlined(21, 23), inlined(21, 23))),
            7: ("double_preattestation_evidence", tup(inlined(20), inlined(20))),
            24: ("dal_entrapment_evidence", tup(inlined(21, 23), UINT8, SHARD)),
            107: ("reveal", manager(key)),
            114: ("update_consensus_key", manager(key, opt(dynamic(signature)))),
        }


KINDS = {latest: Protocol(latest).kinds() for latest in (False, True)}
_CONTENTS = {
    latest: tup(HASH, items(union({tag: encoding for tag, (_, encoding) in kinds.items()})))
    for latest, kinds in KINDS.items()
}
MANAGED = frozenset(range(107, 116)) | {158, 230, 250, 251, 252} | frozenset(range(200, 208))


def operations(message: bytes, *, latest: bool) -> list[Read] | None:
    """The operations of a generic request that the chain could run, else None."""
    try:
        (_, found), same = whole(_CONTENTS[latest], message[1:])
    except UnreadableError:
        return None
    batch = len(found) == 1 or all(tag in MANAGED for tag, _ in found)
    if message[:1] != b"\x03" or not (found and same and batch):
        return None
    return [_read(KINDS[latest][tag][0], tag, value) for tag, value in found]


def place(message: bytes, *, latest: bool) -> tuple[bytes, int, int] | None:
    """Chain, level and round of consensus content as the protocol that slashes reads them, else None."""
    blocks = message[:1] == b"\x11"
    tags = {b"\x12": {20: CONSENSUS}, b"\x13": {21: CONSENSUS, 23: WITH_DAL}}.get(message[:1], {})
    if latest and tags:
        tags = tags | {40 if message[:1] == b"\x12" else 41: BLS_CONSENSUS}
    try:
        value, same = whole(tup(fixed(4), BLOCK if blocks else tup(HASH, union(tags))), message[1:])
    except UnreadableError:
        return None
    if not same:
        return None
    chain, (first, second) = value
    if not blocks:
        tag, content = second
        return (chain, *(content[:2] if tag > 30 else content[1:3]))
    level, parts = first[0], first[6]
    if [len(part) for part in parts] not in ([1, 4, 0, 4, 4], [1, 4, 4, 4, 4]):
        return None
    round_ = int.from_bytes(parts[4], "big", signed=True)
    return None if parts[0] != b"\x02" or round_ < 0 else (chain, level, round_)


def _read(name: str, tag: int, value: Any) -> Read:
    if tag not in MANAGED:
        return {
            4: lambda: Read(name, destinations=(_pkh((0, value[0])),)),
            5: lambda: Read(name, _pkh(value[0])),
            6: lambda: Read(f"ballot:{('yay', 'nay', 'pass')[value[3]]}", _pkh(value[0])),
            9: lambda: Read(name, _pkh(value[1]), amount_unknown=True, destinations=(_pkh(value[2]),)),
        }.get(tag, lambda: Read(name))()
    (source, fee, *_), *fields = value
    amount = fields[0] if tag in {108, 109} else None
    if tag == 108 and fields[1] == (0, source) and fields[2][0] in OWN:
        name = fields[2][0].decode()
    found = tuple(_destinations(tag, fields))
    if tag == 251:
        found = tuple(dict.fromkeys(found))
    return Read(name, _pkh(source), fee, amount, tag in {113, 203}, found)


def _destinations(tag: int, fields: list[Any]) -> Iterator[str]:
    if tag in {108, 113}:
        yield _account(fields[1])
    elif tag in {109, 110}:
        yield from map(_pkh, fields[1 if tag == 109 else 0] or ())
    elif tag in {114, 115}:
        key_tag, key = fields[0]
        yield _pkh((key_tag, hashlib.blake2b(key, digest_size=20).digest()))
    elif tag == 158:
        yield _account(fields[4])
    elif tag == 200:
        yield from map(_pkh, fields[3][0] if fields[3] else ())
    elif tag == 203:
        yield b58("067c75", fields[0])
    elif tag == 207:
        yield _pkh(fields[1])
    elif tag == 251:
        yield b58("0117e07d", fields[0])
        for operation, _ in fields[1]:
            yield from (_pkh(operation[3]), b58("0117e07d", operation[4]))


def _pkh(value: tuple[int, bytes]) -> str:
    return b58([*FAMILIES][value[0]], value[1])


def _account(value: tuple[int, Any]) -> str:
    return _pkh(value[1]) if value[0] == 0 else b58("025a79", value[1])
