"""Sign requests put together by hand, field by field, from the layouts of Octez; nothing of ours makes them.

Every part is written the plain way: a tag, a length, the bytes. Compare with operation_repr.ml.
"""

import struct

MAINNET = bytes.fromhex("7a06a770")
MAINNET_TEXT = "NetXdQprcVkpaWU"

BRANCH = b"\xb1" * 32
HASH20 = b"\x20" * 20
HASH32 = b"\x32" * 32
TZ1 = b"\x00" + b"\xa1" * 20
TZ2 = b"\x01" + b"\xa2" * 20
TZ4 = b"\x03" + b"\xa4" * 20
TZ5 = b"\x04" + b"\xa5" * 20
KT1 = b"\x01" + b"\xc1" * 20 + b"\x00"
IMPLICIT = b"\x00" + TZ2
FALSE = b"\x00"
TRUE = b"\xff"
SIGNATURE = b"\x51" * 64
BLS_SIGNATURE = b"\x52" * 96


def u16(number: int) -> bytes:
    return struct.pack(">H", number)


def i32(number: int) -> bytes:
    return struct.pack(">i", number)


def dyn(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def natural(number: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit on every byte but the last."""
    out = []
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


UNIT = b"\x03\x0b"  # primitive without argument or annotation: Unit
# Every form of Micheline: a pair of an annotated primitive and of a sequence of the others.
EXPRESSION = (
    b"\x07\x07"
    + (b"\x06\x05" + b"\x00\x01" + dyn(b"%a"))
    + (
        b"\x02"
        + dyn(
            b"\x01"
            + dyn(b"x")
            + b"\x0a"
            + dyn(b"\x00")
            + b"\x09\x00"
            + dyn(UNIT * 3)
            + dyn(b"")
            + b"\x04\x0b"
            + dyn(b":u")
            + b"\x05\x05"
            + UNIT
            + b"\x08\x07"
            + UNIT
            + UNIT
            + dyn(b"@p")
        )
    )
)

MANAGER = TZ1 + natural(1000) + natural(2_000_000) + natural(10_600) + natural(0)

ATTESTATION_21 = b"\x15" + u16(7) + i32(100) + i32(0) + HASH32
ATTESTATION_23 = b"\x17" + u16(7) + i32(100) + i32(0) + HASH32 + b"\x80\x20"
PREATTESTATION_20 = b"\x14" + u16(7) + i32(100) + i32(0) + HASH32
COMMITTEE_30 = i32(100) + i32(0) + HASH32 + dyn(u16(1) + u16(9))
COMMITTEE_31 = i32(100) + i32(0) + HASH32 + dyn(u16(1) + FALSE + u16(9) + TRUE + b"\x03")


def inlined(content: bytes, signature: bytes = SIGNATURE) -> bytes:
    return dyn(BRANCH + content + signature)


def fitness(level: int, round_: int) -> bytes:
    """Tenderbake: version 2, level, no locked round, the round before it negated and less one, round."""
    parts = (b"\x02", i32(level), b"", i32(-1), i32(round_))
    return b"".join(dyn(part) for part in parts)


def header(level: int, fitness_: bytes, *, payload_round: int = 0, seed: bytes = FALSE) -> bytes:
    shell = (
        i32(level)
        + b"\x18"
        + HASH32
        + struct.pack(">q", 1_700_000_000)
        + b"\x04"
        + HASH32
        + dyn(fitness_)
        + HASH32
    )
    return shell + HASH32 + i32(payload_round) + b"\x77" * 8 + seed + b"\x00"


def block(level: int, round_: int, *, chain: bytes = MAINNET, payload_round: int = 0) -> bytes:
    return b"\x11" + chain + header(level, fitness(level, round_), payload_round=payload_round)


def consensus(magic: int, tag: int, level: int, round_: int, *, chain: bytes = MAINNET) -> bytes:
    slot = u16(3) if tag in {20, 21, 23} else b""
    dal = b"\x80\x20" if tag == 23 else b""
    return bytes([magic]) + chain + BRANCH + bytes([tag]) + slot + i32(level) + i32(round_) + HASH32 + dal


def generic(*operations: bytes) -> bytes:
    return b"\x03" + BRANCH + b"".join(operations)


def transaction(*, source: bytes = TZ1, to: bytes = KT1, parameters: bytes = FALSE) -> bytes:
    manager = source + natural(400) + natural(300) + natural(2000) + natural(0)
    return b"\x6c" + manager + natural(1_000_000) + to + parameters


def parameters(entrypoint: bytes, argument: bytes = UNIT) -> bytes:
    return TRUE + entrypoint + dyn(argument)


def ballot(vote: int) -> bytes:
    return b"\x06" + TZ1 + i32(40) + HASH32 + bytes([vote])


ROLLUP = MANAGER + HASH20

OPERATIONS: dict[str, bytes] = {
    "seed_nonce_revelation": b"\x01" + i32(64) + HASH32,
    "double_consensus_operation_evidence": b"\x02"
    + u16(4)
    + inlined(b"\x1f" + COMMITTEE_31, BLS_SIGNATURE)
    + inlined(ATTESTATION_23),
    "double_baking_evidence": b"\x03"
    + dyn(header(5, fitness(5, 0)) + SIGNATURE)
    + dyn(header(5, fitness(5, 0), seed=TRUE + HASH32) + BLS_SIGNATURE),
    "activate_account": b"\x04" + HASH20 + HASH20,
    "proposals": b"\x05" + TZ2 + i32(10) + dyn(HASH32 * 2),
    "ballot:yay": ballot(0),
    "ballot:nay": ballot(1),
    "ballot:pass": ballot(2),
    "vdf_revelation": b"\x08" + b"\x66" * 200,
    "drain_delegate": b"\x09" + TZ1 + TZ4 + TZ2,
    "failing_noop": b"\x11" + dyn(b"hello"),
    "dal_entrapment_evidence": b"\x18"
    + inlined(ATTESTATION_23)
    + u16(4)
    + b"\x02"
    + (TRUE + b"\x01")
    + (i32(117) + dyn(b"\x99" * 40) + b"\x48" * 48),
    "preattestations_aggregate": b"\x1e" + COMMITTEE_30,
    "attestations_aggregate": b"\x1f" + COMMITTEE_31,
    "reveal": b"\x6b" + MANAGER + (b"\x03" + b"\x44" * 48) + (TRUE + dyn(BLS_SIGNATURE)),
    "transaction": transaction(parameters=parameters(b"\xff\x03buy", EXPRESSION)),
    "origination": b"\x6d" + MANAGER + natural(0) + (TRUE + TZ1) + dyn(EXPRESSION) + dyn(b"\x00\xc1\x01"),
    "delegation": b"\x6e" + MANAGER + (TRUE + TZ2),
    "register_global_constant": b"\x6f" + MANAGER + dyn(EXPRESSION),
    "set_deposits_limit": b"\x70" + MANAGER + (TRUE + natural(10**12)),
    "increase_paid_storage": b"\x71" + MANAGER + b"\x05" + KT1,
    "update_consensus_key": b"\x72" + MANAGER + (b"\x00" + b"\x32" * 32) + FALSE,
    "update_companion_key": b"\x73" + MANAGER + (b"\x03" + b"\x48" * 48) + (TRUE + dyn(BLS_SIGNATURE)),
    "transfer_ticket": b"\x9e"
    + MANAGER
    + dyn(EXPRESSION)
    + dyn(UNIT)
    + KT1
    + natural(3)
    + IMPLICIT
    + dyn(b"default"),
    "smart_rollup_originate": b"\xc8"
    + MANAGER
    + b"\x01"
    + dyn(b"wasm")
    + dyn(UNIT)
    + (TRUE + dyn(TZ1 + TZ4)),
    "smart_rollup_add_messages": b"\xc9" + MANAGER + dyn(dyn(b"a") + dyn(b"")),
    "smart_rollup_cement": b"\xca" + ROLLUP,
    "smart_rollup_publish": b"\xcb" + ROLLUP + HASH32 + i32(9) + HASH32 + struct.pack(">q", 11_000_000),
    "smart_rollup_refute": b"\xcc" + ROLLUP + TZ2 + b"\x00" + HASH32 + HASH32,
    "smart_rollup_timeout": b"\xcd" + ROLLUP + TZ1 + TZ2,
    "smart_rollup_execute_outbox_message": b"\xce" + ROLLUP + HASH32 + dyn(b"proof"),
    "smart_rollup_recover_bond": b"\xcf" + ROLLUP + TZ1,
    "dal_publish_commitment": b"\xe6" + MANAGER + b"\x01" + b"\x48" * 48 + b"\x96" * 96,
    "zk_rollup_origination": b"\xfa"
    + MANAGER
    + dyn(b"srs")
    + dyn(dyn(b"circuit") + b"\x01")
    + dyn(HASH32)
    + i32(2),
    "zk_rollup_publish": b"\xfb"
    + ROLLUP
    + dyn(
        (i32(1) + HASH32 + b"\x41" + TZ1 + HASH20 + dyn(HASH32) + b"\x00")
        + (i32(1) + HASH32 + b"\x01" + TZ1 + HASH20 + dyn(b"") + b"\x01" + UNIT + EXPRESSION + KT1)
    ),
    "zk_rollup_update": b"\xfc"
    + ROLLUP
    + dyn(dyn(b"op") + dyn(HASH32) + HASH32 + TRUE)
    + dyn(dyn(b"private") + dyn(HASH32) + HASH32)
    + dyn(HASH32)
    + dyn(b"proof"),
    "signature_prefix": b"\xff\x03" + b"\x32" * 32,
}
"""One operation of each kind, by the name it is to be reported as."""

REFUTATIONS: dict[str, bytes] = {
    "dissection": b"\x01"
    + natural(5)
    + b"\x00"
    + dyn((TRUE + HASH32 + natural(0)) + (FALSE + natural(10**9))),
    "proof without input": b"\x01" + natural(5) + b"\x01" + dyn(b"step") + FALSE,
    "inbox proof": b"\x01"
    + natural(5)
    + b"\x01"
    + dyn(b"step")
    + TRUE
    + b"\x00"
    + i32(8)
    + natural(3)
    + dyn(b"inbox"),
    "first input": b"\x01" + natural(5) + b"\x01" + dyn(b"step") + TRUE + b"\x02",
    "raw data": b"\x01" + natural(5) + b"\x01" + dyn(b"step") + TRUE + b"\x01\x00" + u16(4) + b"data",
    "metadata": b"\x01" + natural(5) + b"\x01" + dyn(b"step") + TRUE + b"\x01\x01",
    "dal page": b"\x01"
    + natural(5)
    + b"\x01"
    + dyn(b"")
    + TRUE
    + b"\x01\x02"
    + i32(8)
    + b"\x01"
    + u16(2)
    + dyn(b"dal"),
    "dal parameters": b"\x01" + natural(5) + b"\x01" + dyn(b"") + TRUE + b"\x01\x03",
}
"""What a smart_rollup_refute can move with."""
