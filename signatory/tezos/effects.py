"""What operations do to money and rights: how much leaves the source, and which accounts get something.

Source: Octez apply.ml of protocol 025. docs/requests.md has the table; what is not here moves nothing that
the source owns. Where Octez computes an amount that is not in the bytes, it is unknown, never zero.
"""

from collections.abc import Callable
from typing import NamedTuple

from signatory.errors import MalformedError
from signatory.tezos.fields import (
    Field,
    contract,
    entrypoint_name,
    fixed,
    implicit,
    int31,
    integer,
    originated,
    public_key,
    script,
    tez,
)
from signatory.tezos.reader import Reader
from signatory.tezos.rollups import COMMITMENT, ORIGINATE, SCALARS, ZK_TICKET, smart_rollup, zk_rollup


class Effect(NamedTuple):
    """Mutez that leave the source's balance, whether more may leave than is said, and who gets something.

    Accounts are bytes as `accounts.text` takes them.
    """

    amount: int | None = None
    unknown: bool = False
    receivers: tuple[bytes, ...] = ()


NOTHING = Effect()

MAX_WHITELIST = 4090
"""Bytes of the key hashes that may commit to a rollup: 4,096 less two, and less the length before them."""

Read = Callable[[Reader], Effect]
"""Reads what follows the manager fields of one operation, and says what it does."""


def nothing(*fields: Field) -> Read:
    """Fields without an effect."""

    def read(reader: Reader) -> Effect:
        for field in fields:
            field(reader)
        return NOTHING

    return read


def origination(reader: Reader) -> Effect:
    """Balance, delegate, code and storage: a balance goes to an account that has no address yet."""
    balance = tez(reader)
    delegate = _delegate(reader)
    script(reader)
    script(reader)
    return Effect(balance, receivers=delegate)


def delegation(reader: Reader) -> Effect:
    """The delegate gets the rights that come with the balance."""
    return Effect(receivers=_delegate(reader))


def increase_paid_storage(reader: Reader) -> Effect:
    """Bytes and a contract: the price of the bytes is burned, and is a constant of the protocol."""
    reader.integer()
    return Effect(unknown=True, receivers=(originated(reader),))


def key_update(proof: Field) -> Read:
    """A public key and its proof: it may bake, and a consensus key may empty the account."""

    def read(reader: Reader) -> Effect:
        key = public_key(reader)
        proof(reader)
        return Effect(receivers=(key,))

    return read


def transfer_ticket(reader: Reader) -> Effect:
    """Contents, type, issuer and number of tickets, then who gets them by which entrypoint."""
    script(reader)
    script(reader)
    contract(reader)
    at = reader.at
    reader.number()
    if reader.data[at] == 0:
        raise MalformedError("the number of tickets is zero")
    destination = contract(reader)
    entrypoint_name(reader)
    return Effect(receivers=(destination,))


def smart_rollup_originate(reader: Reader) -> Effect:
    """Whoever is on the list, if there is one, may put a bond on the rollup and so move it."""
    for field in ORIGINATE:
        field(reader)
    members = []
    if reader.boolean():
        length = reader.u32()
        if length > MAX_WHITELIST:
            raise MalformedError(f"the whitelist is {length} bytes long, at most {MAX_WHITELIST} are allowed")
        outer = reader.enter(length)
        while reader.at < reader.end:
            members.append(implicit(reader))
        reader.leave(outer)
    return Effect(receivers=tuple(members))


def smart_rollup_publish(reader: Reader) -> Effect:
    """A commitment: the first one freezes a bond of the source, a constant of the protocol."""
    rollup = smart_rollup(reader)
    for field in COMMITMENT:
        field(reader)
    return Effect(unknown=True, receivers=(rollup,))


def smart_rollup_recover_bond(reader: Reader) -> Effect:
    """The staker gets its own bond back."""
    smart_rollup(reader)
    return Effect(receivers=(implicit(reader),))


_ZK_HEAD: tuple[Field, ...] = (int31, fixed(32), integer)  # code, ticket, amount


def zk_rollup_publish(reader: Reader) -> Effect:
    """Operations of the rollup: tickets go from the source to the rollup, or from it to an account."""
    receivers = [zk_rollup(reader)]
    outer = reader.enter(reader.u32())
    while reader.at < reader.end:
        reader.count()
        for field in _ZK_HEAD:
            field(reader)
        receivers += (implicit(reader), zk_rollup(reader))
        SCALARS(reader)
        ZK_TICKET(reader)
    reader.leave(outer)
    return Effect(receivers=tuple(dict.fromkeys(receivers)))


def _delegate(reader: Reader) -> tuple[bytes, ...]:
    return (implicit(reader),) if reader.boolean() else ()
