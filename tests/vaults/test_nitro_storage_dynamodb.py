"""The tables of keys on a bad day: what is sent byte for byte, and what each way to fail comes to."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dynamodb import CREDENTIALS, REGION
from hypothesis import given
from hypothesis import strategies as st
from scripted_aws import LOST, SILENT, Answer, Fields, Scripted, cancelled, failed, scripted
from sealed_samples import record, reference

from signatory.errors import ConfigError, IntegrityError, MalformedError, UnavailableError
from signatory.net.aws import Waits
from signatory.net.dynamodb import Patience, TableSettings
from signatory.net.dynamodb_errors import CallFailedError
from vaults.nitro.storage import items
from vaults.nitro.storage.dynamodb import DynamoStore
from vaults.nitro.storage.record import Born, Found, Stock

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


@pytest.fixture
def aws() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


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


DENIED = failed("AccessDeniedException", message="User: x is not authorized to perform: dynamodb:Scan on y")
FOREIGN = {
    "denied": (DENIED, "the right dynamodb:Scan is missing"),
    "validation": (failed("ValidationException", message="secret"), r"refused \w+ \(ValidationException\)"),
    "signature": (failed("InvalidSignatureException", message="secret"), "AWS refuses the credentials"),
    "expired": (failed("ExpiredTokenException"), "the AWS credentials have expired"),
}
PASSING = {
    "throttled": (failed("ThrottlingException"), r"is busy \(ThrottlingException\); given up"),
    "throughput": (failed("ProvisionedThroughputExceededException"), r"is busy \(Provis.*; given up"),
    "network": (LOST, r"gave no whole answer .*; given up"),
    "a server's error": (failed("InternalServerError", 500, "secret"), r"has failed .*; given up"),
    "not DynamoDB": (Answer(b"{}"), "an answer that is not DynamoDB's; given up"),
}


@pytest.mark.parametrize(("answer", "words"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("work", ["load", "is_extended", "remember_extended"])
async def test_every_foreign_error_is_one_of_ours_and_says_no_more_than_its_code(
    aws: Scripted, answer: Answer, words: str, work: str
) -> None:
    async with opened(aws) as store:
        aws.play(answer)
        with pytest.raises(UnavailableError, match=words) as caught:
            await getattr(store, work)()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("answer", "words"), PASSING.values(), ids=PASSING)
async def test_what_may_pass_is_tried_again_for_a_while_and_then_told(
    aws: Scripted, answer: Answer, words: str
) -> None:
    async with opened(aws, patience=BRIEF) as store:
        aws.play(answer)
        with pytest.raises(UnavailableError, match=words) as caught:
            await store.load()
    assert "secret" not in str(caught.value)
    assert len(aws.asked) > 2


async def test_throttling_is_waited_out(aws: Scripted) -> None:
    key = record()
    async with opened(aws) as store:
        aws.play(
            failed("ThrottlingException"), failed("ThrottlingException"), page(),
            page(wire(items.to_sealed(key, "t"))),
        )  # fmt: skip
        found = await store.load()
    assert {each.id for each in found.keys} <= {key.id}


async def test_every_page_of_both_tables_is_asked_for_consistently(aws: Scripted) -> None:
    first, second = (record(seed) for seed in (1, 2))
    last = {"key_id": {"S": first.id}}

    def told(body: Fields) -> Answer:
        if body["TableName"] == "encrypted_keys":
            return page()
        if "ExclusiveStartKey" not in body:
            return page(wire(items.to_sealed(first, "t")), last=last)
        assert body["ExclusiveStartKey"] == last
        return page(wire(items.to_sealed(second, "t")))

    async with opened(aws) as store:
        aws.play(told)
        stock = await store.load()
    assert set(stock.keys) == {first, second}
    assert aws.names == ["Scan"] * 3
    assert all(body["ConsistentRead"] is True for _, body in aws.asked)


async def test_many_pages_are_not_read_again_at_once_for_everybody_who_asks(
    aws: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaults.nitro.storage.dynamodb.PAUSE", 3600)
    first, second = (record(seed) for seed in (1, 2))
    written: Fields = {}

    def told(body: Fields) -> Answer:
        if "Item" in body:
            written.update(body["Item"])
            return DONE
        if "Key" in body:
            return holding(written) if written else DONE
        if body["TableName"] == "encrypted_keys":
            return page()
        if "ExclusiveStartKey" in body:
            return page(*([written] if written else ()))
        return page(wire(items.to_sealed(first, "t")), last={"key_id": {"S": first.id}})

    async with opened(aws) as store:
        aws.play(told)
        stock = await store.load()
        assert await store.load() is stock
        assert aws.names == ["Scan"] * 3
        aws.play(described("key_id"), told)
        await store.add(second)
        assert set((await store.load()).keys) == {first, second}
        assert aws.names.count("Scan") == 3


async def test_tables_that_are_not_there_hold_nothing_and_are_made_by_the_first_write(aws: Scripted) -> None:
    item: Fields = {}

    def take(body: Fields) -> Answer:
        item.update(body["Item"])
        return DONE

    aws.play(MISSING)
    store = await DynamoStore.open(*settings(aws), patience=QUICK)
    try:
        assert await store.load() == Stock()
        assert await store.is_extended() is False
        assert set(aws.names) == {"DescribeTable", "Scan", "GetItem"}
        aws.play(
            MISSING,
            Answer({"TableDescription": {}}),
            described("key_id", "CREATING"),
            described("key_id"),
            MISSING,
            take,
            lambda _: holding(item),
        )
        await store.add(record())
    finally:
        await store.close()
    assert aws.names == [
        "DescribeTable",
        "CreateTable",
        *["DescribeTable"] * 2,
        "GetItem",
        "PutItem",
        "GetItem",
    ]
    assert aws.asked[1][1] == {
        "TableName": "sealed_keys",
        "AttributeDefinitions": [{"AttributeName": "key_id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "key_id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
    }


async def test_where_no_table_may_be_made_none_is(aws: Scripted) -> None:
    aws.play(MISSING)
    with pytest.raises(ConfigError, match="no DynamoDB table encrypted_keys, and none sealed_keys") as caught:
        await DynamoStore.open(*settings(aws, create=False), patience=QUICK)
    assert "create_table" in (caught.value.hint or "")
    aws.play(described(), MISSING)
    store = await DynamoStore.open(*settings(aws, create=False), patience=QUICK)
    with pytest.raises(ConfigError, match="there is no DynamoDB table sealed_keys"):
        await store.remember_extended()
    with pytest.raises(ConfigError, match="there is no DynamoDB table sealed_keys"):
        await store.add(record())
    await store.close()
    assert "CreateTable" not in aws.names


@pytest.mark.parametrize(
    "wrong", [described("id"), described("pkh", "ACTIVE", "B"), described("pkh", "ACTIVE", "S", "request")]
)
async def test_a_table_of_something_else_is_refused_at_the_opening(aws: Scripted, wrong: Answer) -> None:
    aws.play(wrong)
    with pytest.raises(ConfigError, match="the DynamoDB table encrypted_keys has other keys than pkh alone"):
        await DynamoStore.open(*settings(aws), patience=QUICK)


async def test_what_cannot_be_remembered_is_not_said_to_be(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(DONE, described("key_id"), DONE, DONE)
        with pytest.raises(IntegrityError, match=r"meta:protocol was written .* does not come back"):
            await store.remember_extended()
        aws.play(DONE, described("key_id"), DENIED)
        with pytest.raises(CallFailedError, match="is missing"):
            await store.remember_extended()


async def test_the_birth_of_an_earlier_blob_is_left_out_and_its_key_is_not(aws: Scripted) -> None:
    born, now = reference(born=True), reference()

    def told(body: Fields) -> Answer:
        mine = (
            items.to_reference(now, "t")
            if body["TableName"] == "encrypted_keys"
            else items.to_birth(born, "t")
        )
        return page(wire(mine))

    async with opened(aws) as store:
        aws.play(told)
        stock = await store.load()
    assert stock == Stock((now,), (f"the birth of {now.id} is left out: it is of another sealed key",))


async def test_records_that_are_strange_are_named_and_cost_no_other(aws: Scripted) -> None:
    key = record()
    good = wire(items.to_sealed(key, "t"))
    strange = [
        {**good, "key_id": {"S": "tz1Strange"}},
        {**good, "key_id": {"S": "tz1Number"}, "version": {"N": "1e400"}},
        {"key_id": {"S": "tz1List"}, "version": {"L": [{"N": "2"}]}},
        {"key_id": {"S": "birth:tz1Half"}, "version": {"N": "1"}, "birth_statement": {"B": "AAAA"}},
        {"key_id": {"S": "meta:later"}, "anything": {"BOOL": True}},
    ]

    def told(body: Fields) -> Answer:
        return page() if body["TableName"] == "encrypted_keys" else page(good, *strange)

    async with opened(aws) as store:
        aws.play(told)
        stock = await store.load()
    assert stock.keys == (key,)
    assert len(stock.problems) == 4
    for name in ("tz1Strange", "tz1Number", "tz1List", "birth:tz1Half"):
        assert sum(f"the item '{name}' of the DynamoDB table sealed_keys is left out: " in each
                   for each in stock.problems) == 1  # fmt: skip


ATTRIBUTES = st.one_of(
    st.builds(lambda value: {"S": value}, st.text(max_size=40)),
    st.builds(lambda value: {"N": str(value)}, st.integers() | st.floats()),
    st.builds(lambda value: {"B": value}, st.binary(max_size=60)),
    st.just({"NULL": True}),
    st.just({}),
)
NAMES = st.sampled_from([*items.to_sealed(record(), "t"), "pkh", "value"])


@given(st.dictionaries(NAMES, ATTRIBUTES, max_size=8), st.sampled_from([record(), reference()]))
def test_any_item_is_a_record_or_malformed(changed: dict[str, Any], key: Any) -> None:
    base = items.to_reference(key, "t") if key.is_reference else items.to_sealed(key, "t")
    for read in (items.from_reference, items.from_sealed, items.from_birth):
        for item in (changed, {**base, **changed}):
            with contextlib.suppress(MalformedError):
                assert isinstance(read(item), Found | Born)


def test_an_item_that_dynamodb_would_not_take_is_refused_before_it_is_sent() -> None:
    with pytest.raises(MalformedError, match=r"cannot be stored: \d+ bytes, and DynamoDB takes 409600"):
        items.to_reference(reference(blob=bytes(items.LARGEST)), "t")
    largest = record(version=2**32 - 1, user_id="a" * 256)
    assert len(json.dumps(wire(items.to_sealed(largest, "t")))) < items.LARGEST
