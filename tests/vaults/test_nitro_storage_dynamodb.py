"""Keys into tables: what is sent byte for byte, and what a lost answer comes to."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from key_tables import BOTH_DONE, BRIEF, DONE, REFUSED, described, holding, opened, settings, wire
from scripted_aws import LOST, SILENT, Answer, Fields, Scripted, cancelled, failed, scripted
from sealed_samples import record, reference

from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.net.aws import Waits
from signatory.net.dynamodb import Patience
from vaults.nitro.storage import items
from vaults.nitro.storage.dynamodb import DynamoStore


@pytest.fixture
def aws() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


async def test_a_key_of_signatory_s_is_its_item_and_a_token_in_one_conditional_write(aws: Scripted) -> None:
    key, item = reference(), dict[str, Any]()

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return DONE

    async with opened(aws) as store:
        aws.play(described(), DONE, take, lambda _: holding(item))
        await store.add(key)
    assert aws.names == ["DescribeTable", "GetItem", "PutItem", "GetItem"]
    assert aws.asked[1][1]["Key"] == {"key_id": {"S": key.id}}  # is it in the other table?
    written = aws.asked[2][1]
    assert written["TableName"] == "encrypted_keys"
    assert (written["ConditionExpression"], written["ExpressionAttributeNames"]) == (
        "attribute_not_exists(#key)",
        {"#key": "pkh"},
    )
    assert written["Item"].pop("token")["S"].isalnum()
    assert written["Item"] == {"pkh": {"S": key.id}, "value": {"B": base64.b64encode(key.blob).decode()}}
    assert aws.asked[3][1] == {
        "TableName": "encrypted_keys",
        "Key": {"pkh": {"S": key.id}},
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "TOTAL",
    }


async def test_a_sealed_record_is_one_item_with_its_fields_and_its_birth(aws: Scripted) -> None:
    key, item = record(user_id="tenant-1", version=4), dict[str, Any]()

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return DONE

    async with opened(aws) as store:
        aws.play(described("key_id"), DONE, take, lambda _: holding(item))
        await store.add(key)
    assert key.birth
    assert key.public
    del item["token"]
    assert item == {
        "version": {"N": "2"},
        "key_id": {"S": key.id},
        "key_type": {"S": "ed25519"},
        "purpose": {"S": "tezos"},
        "public_key": {"S": key.public.text},
        "scheme": {"S": "kms-envelope-v1"},
        "key_version": {"N": "4"},
        "user_id": {"S": "tenant-1"},
        "kms_key_arn": {"S": key.kms_key_arn},
        "sealed_key": {"B": base64.b64encode(key.blob).decode()},
        "birth_statement": {"B": base64.b64encode(key.birth.statement).decode()},
        "birth_attestation": {"B": base64.b64encode(key.birth.attestation).decode()},
    }


async def test_a_key_of_signatory_s_and_its_birth_are_one_transaction_over_both_tables(
    aws: Scripted,
) -> None:
    key, written = reference(born=True), list[Fields]()

    def take(body: Fields) -> Answer:
        written.extend(body["TransactItems"])
        return BOTH_DONE

    async with opened(aws) as store:
        aws.play(
            described(),
            described("key_id"),
            DONE,
            take,
            lambda _: holding(written[0]["Put"]["Item"]),
            lambda _: holding(written[1]["Put"]["Item"]),
        )
        await store.add(key)
    assert [row["Put"]["TableName"] for row in written] == ["encrypted_keys", "sealed_keys"]
    assert set(written[0]["Put"]["Item"]) == {"pkh", "value", "token"}
    assert written[0]["Put"]["ConditionExpression"] == "attribute_not_exists(#key)"
    assert written[1]["Put"]["Item"]["key_id"] == {"S": f"birth:{key.id}"}
    assert "ConditionExpression" not in written[1]["Put"]


@pytest.mark.parametrize("lost", [LOST, SILENT, failed("InternalServerError", 500), Answer(b"<html>", 502)])
async def test_a_lost_answer_whose_write_took_effect_is_settled_by_a_read(
    aws: Scripted, lost: Answer
) -> None:
    item: Fields = {}

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return lost

    aws.play(described(), described("key_id"))
    impatient = Patience(work=60, creation=60, first_pause=0.001, waits=Waits(connect=20, read=0.5, calls=4))
    store = await DynamoStore.open(*settings(aws), patience=impatient)
    try:
        aws.play(described("key_id"), DONE, take, lambda _: holding(item))
        await store.add(record())
    finally:
        aws.over.set()
        await store.close()
    assert aws.names == ["DescribeTable", "GetItem", "PutItem", "GetItem", "GetItem"]


async def test_a_lost_answer_whose_write_did_not_arrive_is_sent_again_the_same(aws: Scripted) -> None:
    item: Fields = {}

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return DONE

    async with opened(aws) as store:
        aws.play(described("key_id"), DONE, LOST, DONE, take, lambda _: holding(item))
        await store.add(record())
    assert aws.names == ["DescribeTable", "GetItem", "PutItem", "GetItem", "PutItem", "GetItem"]
    assert aws.asked[2] == aws.asked[4]


async def test_after_a_lost_answer_another_s_item_is_another_s(aws: Scripted) -> None:
    key = record()
    other = wire(items.to_sealed(key, "another"))
    async with opened(aws) as store:
        aws.play(described("key_id"), DONE, LOST, holding(other), REFUSED, holding(other))
        with pytest.raises(MalformedError, match=f"{key.id} is already in the DynamoDB table sealed_keys"):
            await store.add(key)


async def test_a_retry_that_meets_our_own_late_item_has_succeeded(aws: Scripted) -> None:
    item: Fields = {}

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return LOST

    async with opened(aws) as store:
        aws.play(described("key_id"), DONE, take, DONE, REFUSED, lambda _: holding(item))
        await store.add(record())
    assert aws.names[2:] == ["PutItem", "GetItem", "PutItem", "GetItem", "GetItem"]


async def test_a_transaction_whose_answer_was_lost_is_settled_the_same(aws: Scripted) -> None:
    written: list[Fields] = []

    def take(body: Fields) -> Answer:
        written.extend(body["TransactItems"])
        return LOST

    def stored(body: Fields) -> Answer:
        return holding(written["key_id" in body["Key"]]["Put"]["Item"])

    async with opened(aws) as store:
        aws.play(described(), described("key_id"), DONE, take, stored)
        await store.add(reference(born=True))
    assert aws.names[-4:] == ["TransactWriteItems", "GetItem", "GetItem", "GetItem"]


async def test_a_refused_transaction_is_a_key_that_is_there(aws: Scripted) -> None:
    key = reference(born=True)
    other = wire(items.to_reference(key, "another"))
    async with opened(aws) as store:
        aws.play(
            described(), described("key_id"), DONE, cancelled("ConditionalCheckFailed", "None"),
            holding(other),
        )  # fmt: skip
        with pytest.raises(MalformedError, match="is already in the DynamoDB table encrypted_keys"):
            await store.add(key)


@pytest.mark.parametrize("back", [DONE, holding(wire(items.to_sealed(record(), "another")))])
async def test_a_write_that_does_not_come_back_is_an_error(aws: Scripted, back: Answer) -> None:
    async with opened(aws) as store:
        aws.play(described("key_id"), DONE, DONE, back)
        with pytest.raises(
            IntegrityError, match="was written to the DynamoDB table sealed_keys and does not"
        ):
            await store.add(record())


async def test_an_outcome_that_nobody_can_settle_is_unavailable(aws: Scripted) -> None:
    async with opened(aws, patience=BRIEF) as store:
        aws.play(described("key_id"), DONE, LOST)
        with pytest.raises(UnavailableError, match="given up after"):
            await store.add(record())
