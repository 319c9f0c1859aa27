"""Records as DynamoDB items: Signatory's `pkh` and `value`, and ours with the fields of a record.

In our table stand, beside sealed keys, the births of the keys in Signatory's table (`birth:` and the key id)
and what the vault remembers (`meta:`). Not in Signatory's own: it reads one page of a megabyte and no more,
and a birth is as long as twenty of its keys. `token` is a random word of whoever wrote the item; Signatory
passes over it. Source: Signatory's aws_storage.go; enclave-kms-attestation §1.7.
"""

import re
from collections.abc import Mapping
from typing import Any

from signatory.errors import MalformedError
from vaults.nitro.storage import record as records
from vaults.nitro.storage.json_form import reference_key
from vaults.nitro.storage.record import Born, Fields, Found, SealedKey

REFERENCE_KEY, VALUE = "pkh", "value"
SEALED_KEY = "key_id"
TOKEN = "token"  # noqa: S105  # an attribute's name
BIRTH, META = "birth:", "meta:"
PROTOCOL = META + "protocol"
LARGEST = 400 * 1024
"""Bytes of an item, names included. Source: quotas of DynamoDB."""

Item = Mapping[str, Mapping[str, Any]]

_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def to_reference(key: SealedKey, token: str) -> Item:
    return _checked(key.id, {REFERENCE_KEY: {"S": key.id}, VALUE: {"B": key.blob}, TOKEN: {"S": token}})


def from_reference(item: Item) -> Found:
    """Raises MalformedError saying which attribute is wrong."""
    found = _fields(item)
    name = records.texts(found, (REFERENCE_KEY,))[REFERENCE_KEY]
    return Found(reference_key(REFERENCE_KEY, name, records.blob_of(found, VALUE)))


def to_sealed(key: SealedKey, token: str) -> Item:
    """Raises MalformedError for a key that would not come back."""
    return _checked(key.id, _item(records.fields_of(key), token))


def from_sealed(item: Item) -> Found:
    """As records.found_in."""
    return records.found_in(_fields(item))


def to_birth(key: SealedKey, token: str) -> Item:
    """Raises MalformedError for a birth that would not come back."""
    found = records.birth_fields_of(key)
    return _checked(key.id, _item({**found, SEALED_KEY: BIRTH + key.id}, token))


def from_birth(item: Item) -> Born:
    """Raises MalformedError saying which attribute is wrong."""
    found = _fields(item)
    return records.born_of({**found, SEALED_KEY: name_of(item, SEALED_KEY).removeprefix(BIRTH)})


def protocol(token: str) -> Item:
    """What remembers that the vault has spoken the extended protocol."""
    return {**key_of(SEALED_KEY, PROTOCOL), "protocol": {"S": "extended"}, TOKEN: {"S": token}}


def key_of(attribute: str, value: str) -> Item:
    return {attribute: {"S": value}}


def name_of(item: Item, attribute: str) -> str:
    """The hash key of an item; DynamoDB has none without."""
    return str(item.get(attribute, {}).get("S", ""))


def token_of(item: Item) -> str:
    return name_of(item, TOKEN)


def _item(found: Fields, token: str) -> dict[str, Mapping[str, Any]]:
    return {**{name: _attribute(value) for name, value in found.items()}, TOKEN: {"S": token}}


def _attribute(value: str | int | bytes) -> Mapping[str, Any]:
    if isinstance(value, bytes):
        return {"B": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _fields(item: Item) -> dict[str, Any]:
    """Texts, bytes and whole numbers; what else an attribute may be is not there for a record."""
    return {name: value for name, typed in item.items() if (value := _value(typed)) is not None}


def _value(typed: Mapping[str, Any]) -> str | int | bytes | None:
    if isinstance(value := typed.get("B", typed.get("S")), (str, bytes)):
        return value
    number = typed.get("N")
    return int(number) if isinstance(number, str) and _NUMBER.fullmatch(number) else None


def _checked(key_id: str, item: Item) -> Item:
    size = sum(len(name) + len(value) for name, typed in item.items() for value in typed.values())
    if size > LARGEST:
        raise MalformedError(f"{key_id} cannot be stored: {size} bytes, and DynamoDB takes {LARGEST}")
    return item
