"""Marks as items of Signatory's DynamoDB table, and the conditions on them. Source: signatory-compat §5.

Partition key `idx` is CHAIN/PKH, sort key `request` the request kind; `lvl` and `round` are numbers, `digest`
is the bytes of the hash. Signatory's documents show its text form; both are read. `token` is ours: a random
word of whoever wrote the item, which other readers pass over.
"""

import re
from collections.abc import Mapping
from typing import Any

from signatory.errors import MalformedError
from signatory.tezos import base58
from signatory.watermark.marks import SAME_SLOT
from signatory.watermark.rules import Mark

HASH_KEY, RANGE_KEY = "idx", "request"

ANCHOR = "anchor/"
"""The partition keys of anchors begin so; no chain id does."""

Item = Mapping[str, Mapping[str, Any]]

_VALUE_HASH = bytes.fromhex("016af2")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_HIGHEST = 2**31 - 1
_NAMES = {"#idx": HASH_KEY, "#lvl": "lvl", "#round": "round"}
_LOWER = (
    "attribute_not_exists(#idx)"
    " OR (attribute_type(#lvl, :number) AND attribute_type(#round, :number)"
    " AND #lvl BETWEEN :zero AND :highest AND #round BETWEEN :zero AND :highest"
    " AND (#lvl < :lvl OR (#lvl = :lvl AND #round < :round){same}))"
)
_SAME = " OR (#lvl = :lvl AND #round = :round AND #digest IN (:digest, :text))"


def kinds_of(kind: str) -> tuple[str, ...]:
    """The kinds whose marks bind this one, itself first."""
    return (kind, *(other for other in SAME_SLOT.get(kind, ()) if other != kind))


def key(chain: str, pkh: str, kind: str) -> dict[str, dict[str, str]]:
    return {HASH_KEY: {"S": f"{chain}/{pkh}"}, RANGE_KEY: {"S": kind}}


def item(chain: str, pkh: str, kind: str, mark: Mark, token: str) -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {
        **key(chain, pkh, kind),
        "lvl": {"N": str(mark.level)},
        "round": {"N": str(mark.round)},
        "token": {"S": token},
    }
    return fields if mark.hash is None else {**fields, "digest": {"B": mark.hash}}


def condition(mark: Mark, *, same: bool = True) -> dict[str, Any]:
    """Met where `mark` may stand: no item, a lower place, or, with `same`, the same place and the same hash.

    An item whose numbers cannot be a level and a round never meets it.
    """
    names, values = dict(_NAMES), _values(mark)
    same = same and mark.hash is not None
    if same and mark.hash is not None:
        names["#digest"] = "digest"
        values |= {":digest": {"B": mark.hash}, ":text": {"S": base58.encode(_VALUE_HASH, mark.hash)}}
    return {
        "ConditionExpression": _LOWER.format(same=_SAME if same else ""),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def condition_at(mark: Mark) -> dict[str, Any]:
    """Met where the item stands at the place of `mark`, whatever its hash."""
    return {
        "ConditionExpression": "#lvl = :lvl AND #round = :round",
        "ExpressionAttributeNames": {name: _NAMES[name] for name in ("#lvl", "#round")},
        "ExpressionAttributeValues": {name: _values(mark)[name] for name in (":lvl", ":round")},
    }


def transaction(
    table: str, place: tuple[str, str, str], mark: Mark, token: str
) -> list[dict[str, dict[str, Any]]]:
    """The mark of (chain, key, kind) written and its siblings compared, in the order of `kinds_of`."""
    chain, pkh, kind = place
    common = {"TableName": table, **condition(mark)}
    put = {"Put": {**common, "Item": item(chain, pkh, kind, mark, token)}}
    checks = [
        {"ConditionCheck": {**common, "Key": key(chain, pkh, sibling)}} for sibling in kinds_of(kind)[1:]
    ]
    return [put, *checks]


def mark_of(fields: Item) -> Mark:
    """Raises MalformedError naming the attribute that cannot be read."""
    return Mark(_number(fields, "lvl"), _number(fields, "round"), _hash(fields.get("digest")))


def place_of(fields: Item) -> tuple[str, str, str]:
    """Chain, public key hash and kind. Raises MalformedError."""
    chain, _, pkh = _text(fields, HASH_KEY).partition("/")
    if not chain or not pkh or "/" in pkh:
        raise MalformedError(f"`{HASH_KEY}` is not CHAIN/KEY")
    return chain, pkh, _text(fields, RANGE_KEY)


def is_anchor(fields: Item) -> bool:
    return _text(fields, HASH_KEY).startswith(ANCHOR)


def token_of(fields: Item) -> str | None:
    value = fields.get("token", {}).get("S")
    return value if isinstance(value, str) else None


def _values(mark: Mark) -> dict[str, dict[str, Any]]:
    return {
        ":lvl": {"N": str(mark.level)},
        ":round": {"N": str(mark.round)},
        ":number": {"S": "N"},
        ":zero": {"N": "0"},
        ":highest": {"N": str(_HIGHEST)},
    }


def _text(fields: Item, name: str) -> str:
    value = fields.get(name, {}).get("S")
    if not isinstance(value, str) or not value:
        raise MalformedError(f"`{name}` is not text")
    return value


def _number(fields: Item, name: str) -> int:
    value = fields.get(name, {}).get("N")
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or int(value) > _HIGHEST:
        raise MalformedError(f"`{name}` is not a number from 0 to {_HIGHEST}")
    return int(value)


def _hash(value: Mapping[str, Any] | None) -> bytes | None:
    if value is None or value.get("NULL"):
        return None
    if isinstance(data := value.get("B"), bytes) and len(data) == 32:
        return data
    if isinstance(text := value.get("S"), str):
        prefix, payload = base58.decode(text)
        if prefix.code == _VALUE_HASH:
            return bytes(payload)
    raise MalformedError("`digest` is neither 32 bytes nor a value hash")
