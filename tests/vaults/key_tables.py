"""A DynamoDB that answers by a script, for the tests of the tables of keys."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dynamodb import CREDENTIALS, REGION
from scripted_aws import Answer, Fields, Scripted, failed

from signatory.net.aws import Waits
from signatory.net.dynamodb import Patience, TableSettings
from vaults.nitro.storage import items
from vaults.nitro.storage.dynamodb import DynamoStore

QUICK = Patience(
    work=60, creation=60, first_pause=0.001, longest_pause=0.01, waits=Waits(connect=20, read=20, calls=4)
)
BRIEF = Patience(work=1.0, first_pause=0.001, longest_pause=0.01, waits=Waits(connect=5, read=5, calls=4))
MISSING = failed("ResourceNotFoundException")
DONE = Answer({"ConsumedCapacity": {"TableName": "x", "CapacityUnits": 1.0}})
BOTH_DONE = Answer({"ConsumedCapacity": [{"TableName": "x", "CapacityUnits": 1.0}]})
REFUSED = failed("ConditionalCheckFailedException")


def described(hash_key: str = "pkh", status: str = "ACTIVE", kind: str = "S", *more: str) -> Answer:
    schema = [
        {"AttributeName": name, "KeyType": role}
        for name, role in zip((hash_key, *more), ("HASH", "RANGE"), strict=False)
    ]
    types = [{"AttributeName": name, "AttributeType": kind} for name in (hash_key, *more)]
    return Answer({"Table": {"TableStatus": status, "KeySchema": schema, "AttributeDefinitions": types}})


def wire(item: items.Item) -> Fields:
    """As it travels: bytes in base64."""
    return {
        name: {kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value}
        for name, typed in item.items()
        for kind, value in typed.items()
    }


def holding(item: Fields) -> Answer:
    return Answer({"Item": item, "ConsumedCapacity": {"TableName": "x", "CapacityUnits": 1.0}})


def page(*found: Fields, last: Fields | None = None) -> Answer:
    more = {"LastEvaluatedKey": last} if last else {}
    return Answer({"Items": list(found), "Count": len(found), **more})


def settings(aws: Scripted, *, create: bool = True) -> list[TableSettings]:
    return [
        TableSettings(name, REGION, aws.endpoint, CREDENTIALS, create)
        for name in ("encrypted_keys", "sealed_keys")
    ]


@asynccontextmanager
async def opened(aws: Scripted, *, patience: Patience = QUICK) -> AsyncIterator[DynamoStore]:
    aws.play(described(), described("key_id"))
    store = await DynamoStore.open(*settings(aws), patience=QUICK)
    for place in (store._reference, store._sealed):
        place.table._patience = patience
    try:
        yield store
    finally:
        aws.over.set()
        await store.close()
