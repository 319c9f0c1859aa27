"""Operations drawn at random together with what must be read in them; nothing of ours makes either.

Texts of accounts come from the `base58` package. Layouts are those of Octez' operation_repr.ml.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import base58
from hypothesis import strategies as st
from request_samples import EXPRESSION, FALSE, TRUE, UNIT, dyn, i32, natural

from signatory.tezos.operations import Operation

Draw = Callable[[st.SearchStrategy[object]], object]

FAMILIES = {"06a19f": 32, "06a1a1": 33, "06a1a4": 33, "06a1a6": 48, "06a1a9": 1312}
"""Prefix of the address of each family by its tag, in order, and the bytes of a public key."""


@dataclass(frozen=True)
class Read:
    """What is to be read in one operation."""

    kind: str
    source: str | None = None
    fee: int | None = None
    amount: int | None = None
    amount_unknown: bool = False
    destinations: tuple[str, ...] = ()

    @classmethod
    def of(cls, operation: Operation) -> "Read":
        """What was read."""
        return cls(
            operation.kind,
            operation.source,
            operation.fee,
            operation.amount,
            operation.amount_unknown,
            operation.destinations,
        )


def b58(prefix: str, payload: bytes) -> str:
    """The text of a payload."""
    return base58.b58encode_check(bytes.fromhex(prefix) + payload).decode()


hashes = st.binary(min_size=20, max_size=20)
mutez = st.integers(0, 2**63 - 1) | st.integers(0, 300)
sizes = st.integers(0, 2**70 - 1) | st.integers(0, 300)
scripts = st.sampled_from([UNIT, EXPRESSION, b"\x00\xc1\x01", b"\x02" + dyn(b"")]).map(dyn)
entrypoints = st.sampled_from([bytes([tag]) for tag in range(10)] + [b"\xff\x03buy", b"\xff\x00"])


@st.composite
def implicit(draw: st.DrawFn, families: int = 5) -> tuple[bytes, str]:
    """21 bytes and the text."""
    tag = draw(st.integers(0, families - 1))
    data = draw(hashes)
    return bytes([tag]) + data, b58([*FAMILIES][tag], data)


@st.composite
def account(draw: st.DrawFn, families: int = 5) -> tuple[bytes, str]:
    """22 bytes and the text."""
    if draw(st.booleans()):
        data = draw(hashes)
        return b"\x01" + data + b"\x00", b58("025a79", data)
    key_hash, text = draw(implicit(families))
    return b"\x00" + key_hash, text


@st.composite
def public_key(draw: st.DrawFn, families: int = 5) -> tuple[bytes, str]:
    """A key and the text of its hash."""
    tag = draw(st.integers(0, families - 1))
    prefix, size = [*FAMILIES.items()][tag]
    key = draw(st.binary(min_size=8, max_size=8)).ljust(size, b"\x5a")
    return bytes([tag]) + key, b58(prefix, hashlib.blake2b(key, digest_size=20).digest())


def _transaction(draw: st.DrawFn, families: int, source: tuple[bytes, str]) -> tuple[int, bytes, Read]:
    own = draw(st.booleans())
    to, to_text = (b"\x00" + source[0], source[1]) if own else draw(account(families))
    amount, kind = draw(mutez), "transaction"
    body = natural(amount) + to
    if draw(st.booleans()):
        entrypoint = draw(entrypoints)
        body += TRUE + entrypoint + draw(scripts)
        if to == b"\x00" + source[0]:
            names = ("stake", "unstake", "finalize_unstake", "set_delegate_parameters")
            kind = dict(zip((6, 7, 8, 9), names, strict=True)).get(entrypoint[0], kind)
    else:
        body += FALSE
    return 108, body, Read(kind, amount=amount, destinations=(to_text,))


def _optional(draw: st.DrawFn, families: int) -> tuple[bytes, tuple[str, ...]]:
    if draw(st.booleans()):
        return FALSE, ()
    data, text = draw(implicit(families))
    return TRUE + data, (text,)


def _origination(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    balance = draw(mutez)
    delegate, texts = _optional(draw, families)
    body = natural(balance) + delegate + draw(scripts) + draw(scripts)
    return 109, body, Read("origination", amount=balance, destinations=texts)


def _delegation(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    delegate, texts = _optional(draw, families)
    return 110, delegate, Read("delegation", destinations=texts)


def _constant(draw: st.DrawFn, _: int, __: object) -> tuple[int, bytes, Read]:
    return 111, draw(scripts), Read("register_global_constant")


def _deposits(draw: st.DrawFn, _: int, __: object) -> tuple[int, bytes, Read]:
    limit = FALSE if draw(st.booleans()) else TRUE + natural(draw(mutez))
    return 112, limit, Read("set_deposits_limit")


def _storage(draw: st.DrawFn, _: int, __: object) -> tuple[int, bytes, Read]:
    data = draw(hashes)
    body = draw(st.sampled_from([b"\x05", b"\x45", b"\x80\x01"])) + b"\x01" + data + b"\x00"
    found = Read("increase_paid_storage", amount_unknown=True, destinations=(b58("025a79", data),))
    return 113, body, found


def _consensus_key(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    key, text = draw(public_key(families))
    proof = FALSE if draw(st.booleans()) else TRUE + dyn(b"\x52" * 96)
    return 114, key + proof, Read("update_consensus_key", destinations=(text,))


def _ticket(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    issuer, _text = draw(account(families))
    to, text = draw(account(families))
    number = natural(draw(st.integers(1, 2**200)))
    name = dyn(draw(st.binary(max_size=31)))
    body = draw(scripts) + draw(scripts) + issuer + number + to + name
    return 158, body, Read("transfer_ticket", destinations=(text,))


def _rollup_originate(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    members = draw(st.none() | st.lists(implicit(families), max_size=3))
    body = b"\x01" + dyn(draw(st.binary(max_size=9))) + draw(scripts)
    body += FALSE if members is None else TRUE + dyn(b"".join(data for data, _ in members))
    texts = tuple(text for _, text in members or ())
    return 200, body, Read("smart_rollup_originate", destinations=texts)


def _rollup_publish(draw: st.DrawFn, _: int, __: object) -> tuple[int, bytes, Read]:
    data = draw(hashes)
    commitment = b"\x32" * 32 + i32(draw(st.integers(0, 2**31 - 1))) + b"\x33" * 32 + bytes(8)
    found = Read("smart_rollup_publish", amount_unknown=True, destinations=(b58("067c75", data),))
    return 203, data + commitment, found


def _rollup_bond(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    staker, text = draw(implicit(families))
    return 207, draw(hashes) + staker, Read("smart_rollup_recover_bond", destinations=(text,))


def _zk_publish(draw: st.DrawFn, families: int, _: object) -> tuple[int, bytes, Read]:
    rollup = draw(hashes)
    body, texts = b"", [b58("0117e07d", rollup)]
    for _ in range(draw(st.integers(0, 2))):
        to, text = draw(implicit(families))
        ticket = b"\x00" if draw(st.booleans()) else b"\x01" + UNIT + UNIT + b"\x00" + to
        body += i32(1) + b"\x32" * 32 + b"\x41" + to + rollup + dyn(b"\x33" * 64) + ticket
        texts.append(text)
    return 251, rollup + dyn(body), Read("zk_rollup_publish", destinations=tuple(dict.fromkeys(texts)))


MANAGED = (
    _transaction,
    _transaction,
    _origination,
    _delegation,
    _constant,
    _deposits,
    _storage,
    _consensus_key,
    _ticket,
    _rollup_originate,
    _rollup_publish,
    _rollup_bond,
    _zk_publish,
)


@st.composite
def managed(draw: st.DrawFn, families: int = 5) -> tuple[bytes, Read]:
    """A manager operation that both grammars read alike."""
    source = draw(implicit(families))
    fee = draw(mutez)
    head = source[0] + natural(fee) + b"".join(natural(draw(sizes)) for _ in range(3))
    tag, body, read = draw(st.sampled_from(MANAGED))(draw, families, source)
    found = Read(read.kind, source[1], fee, read.amount, read.amount_unknown, read.destinations)
    return bytes([tag]) + head + body, found


@st.composite
def others(draw: st.DrawFn, families: int = 5) -> tuple[bytes, Read]:
    """An operation without a fee that both grammars read alike."""
    first, first_text = draw(implicit(families))
    second, _ = draw(implicit(families))
    data = draw(hashes)
    return draw(
        st.sampled_from(
            [
                (
                    b"\x04" + data + b"\x77" * 20,
                    Read("activate_account", destinations=(b58("06a19f", data),)),
                ),
                (b"\x05" + first + i32(3) + dyn(b"\x32" * 64), Read("proposals", first_text)),
                (b"\x06" + first + i32(3) + b"\x32" * 32 + b"\x01", Read("ballot:nay", first_text)),
                (b"\x11" + dyn(data), Read("failing_noop")),
                (
                    b"\x09" + second + first + first[:1] + data,
                    Read(
                        "drain_delegate",
                        first_text,
                        amount_unknown=True,
                        destinations=(b58([*FAMILIES][first[0]], data),),
                    ),
                ),
                (b"\x01" + i32(9) + b"\x32" * 32, Read("seed_nonce_revelation")),
            ]
        )
    )


def batches(families: int = 5) -> st.SearchStrategy[list[tuple[bytes, Read]]]:
    """Operations of one request."""
    return st.lists(managed(families) | others(families), max_size=5)
