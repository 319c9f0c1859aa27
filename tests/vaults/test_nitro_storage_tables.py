"""Keys out of tables: every page, every way to fail, tables that are missing, strange or made."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_tables import BRIEF, DONE, MISSING, QUICK, described, holding, opened, page, settings, wire
from scripted_aws import LOST, Answer, Fields, Scripted, failed, scripted
from sealed_samples import record, reference

from signatory.errors import ConfigError, IntegrityError, MalformedError, UnavailableError
from signatory.net.dynamodb_errors import CallFailedError
from vaults.nitro.storage import items
from vaults.nitro.storage.dynamodb import DynamoStore
from vaults.nitro.storage.record import Born, Found, Stock


@pytest.fixture
def aws() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


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
