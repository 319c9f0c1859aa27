"""What one request may move, pay and reach: sums over all its operations. Ours, Signatory has none.

What cannot be read is a refusal: an amount that is not in the bytes could be any amount.
"""

from signatory.policy.values import Client, KeyPolicy, Outcome, Verdict
from signatory.tezos.requests import SignRequest

MAX_AMOUNT = "limits.max_amount"
MAX_FEE = "limits.max_fee"
DESTINATIONS = "limits.destinations"

MUTEZ_END = 2**63
"""Tezos has no amount from here on. Numbers above are not printed: a request could make them very long."""

_NAMELESS = frozenset({"origination"})
"""Kinds whose money goes to an account that has no address yet, whoever else they name."""

_UNREAD = "the operations of this request were not read"


def max_amount(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    """The mutez that all operations move together; one that moves an unknown amount is refused."""
    limit = key.limits.max_amount
    if limit is None:
        return _ANY_AMOUNT
    if not _is_read(request):
        return _refused(MAX_AMOUNT, _UNREAD)
    for operation in request.contents:
        if operation.amount_unknown:
            return _refused(MAX_AMOUNT, f"operation `{operation.kind}' moves an amount that cannot be read")
    moved = sum(_positive(operation.amount) for operation in request.contents)
    if moved <= limit:
        return _THIS_AMOUNT
    return _refused(MAX_AMOUNT, f"the operations move {_mutez(moved)}, the limit is {_mutez(limit)}")


def max_fee(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    """The mutez of the fees of all operations together."""
    limit = key.limits.max_fee
    if limit is None:
        return _ANY_FEE
    if not _is_read(request):
        return _refused(MAX_FEE, _UNREAD)
    paid = sum(_positive(operation.fee) for operation in request.contents)
    if paid <= limit:
        return _THIS_FEE
    return _refused(MAX_FEE, f"the operations pay {_mutez(paid)} of fees, the limit is {_mutez(limit)}")


def destinations(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    """Every account that gets money or rights must be in the list.

    An operation without such an account passes, unless it moves money: then nobody knows to whom. So it is
    with the balance of a new contract, also where its delegate is in the list.
    """
    known = key.limits.destinations
    if known is None:
        return _ANY_DESTINATION
    if not _is_read(request):
        return _refused(DESTINATIONS, _UNREAD)
    for operation in request.contents:
        found = operation.destinations
        for destination in found:
            if destination not in known:
                return _refused(DESTINATIONS, f"destination `{destination}' is not allowed")
        nameless = not found or operation.kind in _NAMELESS
        if nameless and (operation.amount_unknown or operation.amount):
            return _refused(
                DESTINATIONS, f"operation `{operation.kind}' moves money to a destination that cannot be read"
            )
    return _THESE_DESTINATIONS


def _is_read(request: SignRequest) -> bool:
    # Always so for what `requests` made: a batch that was named but not read must not pass as an empty one.
    return len(request.contents) == len(request.operations)


def _positive(number: int | None) -> int:
    """No operation pays for another."""
    return 0 if number is None or number < 0 else number


def _mutez(number: int) -> str:
    return f"{number} mutez" if number < MUTEZ_END else "2^63 mutez or more"


def _refused(rule: str, text: str) -> Outcome:
    return Outcome(rule, Verdict.REFUSED, text, rule.removeprefix("limits."))


_ANY_AMOUNT = Outcome(MAX_AMOUNT, Verdict.UNSET)
_THIS_AMOUNT = Outcome(MAX_AMOUNT, Verdict.PASSED)
_ANY_FEE = Outcome(MAX_FEE, Verdict.UNSET)
_THIS_FEE = Outcome(MAX_FEE, Verdict.PASSED)
_ANY_DESTINATION = Outcome(DESTINATIONS, Verdict.UNSET)
_THESE_DESTINATIONS = Outcome(DESTINATIONS, Verdict.PASSED)
