"""DynamoDB on a bad day: what is sent byte for byte, and what each way to fail comes to."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dynamodb import CREDENTIALS, REGION, SLOW_MACHINE, Emulated
from scripted_aws import LOST, SILENT, Answer, Fields, Scripted, cancelled, failed, scripted

from signatory.errors import ConfigError, IntegrityError, SignatoryError, UnavailableError, WatermarkError
from signatory.net.aws import AwsCredentials, Waits
from signatory.net.dynamodb import Patience, Table, TableSettings
from signatory.net.dynamodb_errors import BusyError
from signatory.watermark.dynamodb import DynamoStore
from signatory.watermark.rules import DoubleSignError, Mark

CHAIN, KEY = "NetXdQprcVkpaWU", "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf"
HASH = hashlib.blake2b(b"a request", digest_size=32).digest()
MARK = Mark(100, 3, HASH)

ACTIVE = Answer(
    {
        "Table": {
            "TableName": "marks",
            "TableStatus": "ACTIVE",
            "KeySchema": [
                {"AttributeName": "idx", "KeyType": "HASH"},
                {"AttributeName": "request", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "request", "AttributeType": "S"},
                {"AttributeName": "idx", "AttributeType": "S"},
            ],
        }
    }
)
DONE = Answer({"ConsumedCapacity": [{"TableName": "marks", "CapacityUnits": 4.0}]})
ABSENT = Answer({"ConsumedCapacity": {"TableName": "marks", "CapacityUnits": 1.0}})
QUICK = Patience(work=1.0, first_pause=0.001, longest_pause=0.01, waits=Waits(connect=5, read=0.2, calls=4))
PATIENT = Patience(work=60, first_pause=0.001, longest_pause=0.01, waits=Waits(connect=20, read=20, calls=4))
BLINK = Patience(work=0.05, first_pause=0.001, longest_pause=0.01, waits=Waits(connect=5, read=5, calls=4))


@pytest.fixture
def aws() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


@asynccontextmanager
async def opened(
    aws: Scripted, *, patience: Patience = PATIENT, credentials: AwsCredentials | None = CREDENTIALS
) -> AsyncIterator[DynamoStore]:
    aws.play(ACTIVE)
    store = DynamoStore(TableSettings("marks", REGION, aws.endpoint, credentials), patience=patience)
    try:
        await store.open()
        yield store
    finally:
        aws.over.set()
        await store.close()


def stored(level: Any = 100, round_: Any = 3, **more: Any) -> Fields:
    key = {"idx": {"S": f"{CHAIN}/{KEY}"}, "request": {"S": "block"}}
    return {**key, "lvl": {"N": str(level)}, "round": {"N": str(round_)}, **more}


def holding(item: Fields) -> Answer:
    return Answer({"Item": item, "ConsumedCapacity": {"TableName": "marks", "CapacityUnits": 1.0}})


def refused(item: Fields) -> Answer:
    return cancelled({"Code": "ConditionalCheckFailed", "Item": item})


async def test_a_write_is_one_transaction_of_exactly_these_items(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(DONE)
        await store.advance(CHAIN, KEY, "attestation", MARK)
    [(name, body)] = aws.asked
    assert name == "TransactWriteItems"
    put, *checks = body["TransactItems"]
    token = body["ClientRequestToken"]
    assert put["Put"]["Item"] == {
        "idx": {"S": f"{CHAIN}/{KEY}"},
        "request": {"S": "attestation"},
        "lvl": {"N": "100"},
        "round": {"N": "3"},
        "digest": {"B": base64.b64encode(HASH).decode()},
        "token": {"S": token},
    }
    assert len(token) <= 36
    assert [check["ConditionCheck"]["Key"]["request"] for check in checks] == [
        {"S": "attestation_with_dal"},
        {"S": "endorsement"},
    ]
    for entry in (put["Put"], *(check["ConditionCheck"] for check in checks)):
        assert entry["TableName"] == "marks"
        assert entry["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
        assert entry["ExpressionAttributeValues"][":lvl"] == {"N": "100"}
        assert entry["ExpressionAttributeValues"][":round"] == {"N": "3"}
        assert entry["ExpressionAttributeValues"][":digest"] == {"B": base64.b64encode(HASH).decode()}
        assert entry["ExpressionAttributeValues"][":text"]["S"].startswith("vh")


@pytest.mark.parametrize(
    ("kind", "siblings"),
    [
        ("block", []),
        ("preattestation", ["preendorsement"]),
        ("attestation_with_dal", ["attestation", "endorsement"]),
    ],
)
async def test_the_other_kinds_of_the_slot_are_checked(aws: Scripted, kind: str, siblings: list[str]) -> None:
    async with opened(aws) as store:
        aws.play(DONE)
        await store.advance(CHAIN, KEY, kind, MARK)
    rows = aws.asked[0][1]["TransactItems"]
    assert rows[0]["Put"]["Item"]["request"] == {"S": kind}
    assert [row["ConditionCheck"]["Key"]["request"]["S"] for row in rows[1:]] == siblings


async def test_each_write_has_a_token_of_its_own_and_keeps_it_over_its_retries(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(failed("ThrottlingException"), failed("TransactionInProgressException"), DONE)
        await store.advance(CHAIN, KEY, "block", MARK)
        await store.advance(CHAIN, KEY, "block", MARK)
    tokens = [body["ClientRequestToken"] for _, body in aws.asked]
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
    assert aws.asked[0] == aws.asked[1] == aws.asked[2]


@pytest.mark.parametrize("lost", [LOST, SILENT, failed("InternalServerError", 500), Answer(b"<html>", 502)])
async def test_a_lost_answer_whose_write_took_effect_is_settled_by_our_token(
    aws: Scripted, lost: Answer
) -> None:
    item: Fields = {}

    def take(body: Fields) -> Answer:
        item.update(body["TransactItems"][0]["Put"]["Item"])
        return lost

    patience = Patience(work=60, first_pause=0.001, waits=Waits(connect=20, read=0.3, calls=4))
    async with opened(aws, patience=patience) as store:
        aws.play(take, lambda _: holding(item))
        await store.advance(CHAIN, KEY, "block", MARK)
    assert aws.names == ["TransactWriteItems", "GetItem"]
    assert aws.asked[1][1]["ConsistentRead"] is True
    assert aws.asked[1][1]["Key"] == {"idx": {"S": f"{CHAIN}/{KEY}"}, "request": {"S": "block"}}


async def test_a_lost_answer_whose_write_did_not_arrive_is_sent_again_the_same(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(LOST, ABSENT, DONE)
        await store.advance(CHAIN, KEY, "block", MARK)
    assert aws.names == ["TransactWriteItems", "GetItem", "TransactWriteItems"]
    assert aws.asked[0] == aws.asked[2]


async def test_after_a_lost_answer_another_s_item_decides_by_the_rule(aws: Scripted) -> None:
    other = stored(100, 3, digest={"B": base64.b64encode(bytes(32)).decode()}, token={"S": "another"})
    async with opened(aws) as store:
        aws.play(LOST, holding(other), refused(other))
        with pytest.raises(DoubleSignError) as caught:
            await store.advance(CHAIN, KEY, "block", MARK)
    assert caught.value.stored == Mark(100, 3, bytes(32))


async def test_a_retry_that_meets_our_own_item_has_succeeded(aws: Scripted) -> None:
    """Where the endpoint forgets idempotency tokens, and the mark has no hash to be the same by."""

    def ours(body: Fields) -> Answer:
        return refused(body["TransactItems"][0]["Put"]["Item"])

    async with opened(aws) as store:
        aws.play(LOST, failed("ThrottlingException"), ours)
        await store.advance(CHAIN, KEY, "block", Mark(100, 3, None))
    assert aws.names == ["TransactWriteItems", "GetItem", "TransactWriteItems"]


async def test_an_outcome_that_nobody_can_settle_is_unavailable_and_never_signed(aws: Scripted) -> None:
    async with opened(aws, patience=BLINK) as store:
        aws.play(LOST)
        with pytest.raises(UnavailableError, match="given up after"):
            await store.advance(CHAIN, KEY, "block", MARK)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b""),
        Answer({}),
        Answer(b"<html>all is well</html>"),
        Answer(b"[]"),
        Answer(b"null"),
        Answer(b'"x"'),
        Answer(b"\xff\xfe"),
        Answer({"ConsumedCapacity": "x"}),
        Answer({"Table": {}}),
        Answer(b"{}", 204),
        Answer(b"{}", 302),
        Answer(b"not json", 400),
        Answer(b"[]", 400),
        Answer({"__type": 5}, 400),
        failed("TransactionCanceledException"),
        failed("TransactionCanceledException", CancellationReasons=5),
        failed("TransactionCanceledException", CancellationReasons=[5]),
        cancelled(),
        cancelled("None"),
        cancelled({"Code": None}),
        cancelled("SomethingNew"),
        cancelled("ValidationError", "TransactionConflict"),
        failed("ValidationException"),
        failed("IdempotentParameterMismatchException"),
        failed("x" * 100_000),
    ],
)
async def test_an_answer_that_is_not_dynamodb_s_success_is_never_a_success(
    aws: Scripted, answer: Answer
) -> None:
    async with opened(aws, patience=BLINK) as store:
        aws.play(answer)
        with pytest.raises(UnavailableError) as caught:
            await store.advance(CHAIN, KEY, "block", MARK)
        assert len(str(caught.value)) < 300
        aws.play(answer)
        with pytest.raises(UnavailableError):
            await store.current(CHAIN, KEY, "block")


BUSY = [
    failed("ProvisionedThroughputExceededException"),
    failed("ThrottlingException"),
    failed("RequestLimitExceeded"),
    failed("TransactionInProgressException"),
    failed("TransactionConflictException"),
    cancelled("TransactionConflict", "None"),
    cancelled("None", "ProvisionedThroughputExceeded"),
    cancelled("ThrottlingError", "TransactionConflict"),
]


@pytest.mark.parametrize("busy", BUSY)
async def test_a_busy_table_is_tried_again_and_then_passes(aws: Scripted, busy: Answer) -> None:
    async with opened(aws) as store:
        aws.play(busy, busy, busy, DONE)
        await store.advance(CHAIN, KEY, "block", MARK)
    assert aws.names == ["TransactWriteItems"] * 4


@pytest.mark.parametrize("busy", [BUSY[0], BUSY[-1]])
async def test_a_table_that_stays_busy_is_unavailable_and_no_double_signing(
    aws: Scripted, busy: Answer
) -> None:
    async with opened(aws, patience=QUICK) as store:
        aws.play(busy)
        with pytest.raises(UnavailableError, match=r"is busy \([A-Za-z]+\); given up after") as caught:
            await store.advance(CHAIN, KEY, "block", MARK)
        assert caught.value.hint
    assert len(aws.asked) > 1
    assert set(aws.names) == {"TransactWriteItems"}


async def test_a_table_that_is_silent_is_given_up_at_the_deadline(aws: Scripted) -> None:
    async with opened(aws, patience=QUICK) as store:
        aws.play(SILENT)
        with pytest.raises(UnavailableError, match=r"ReadTimeoutError\); given up after 1 s"):
            await store.advance(CHAIN, KEY, "block", MARK)
        aws.over.set()


async def test_an_endpoint_that_nobody_serves_may_be_served_soon() -> None:
    table = Table(TableSettings("marks", REGION, "http://127.0.0.1:1", CREDENTIALS), PATIENT)
    with pytest.raises(BusyError, match="the DynamoDB table marks cannot be reached"):
        await table.call("read", "describe_table", TableName="marks")
    await table.close()


@pytest.mark.parametrize("reasons", [["TransactionConflict"], ["ThrottlingError"], ["ValidationError"], []])
async def test_one_condition_that_was_not_met_settles_a_transaction_whatever_else_came_up(
    aws: Scripted, reasons: list[str]
) -> None:
    item = stored(101, 0, digest={"B": base64.b64encode(bytes(32)).decode()})
    async with opened(aws) as store:
        aws.play(cancelled("None", {"Code": "ConditionalCheckFailed", "Item": item}, *reasons))
        with pytest.raises(DoubleSignError) as caught:
            await store.advance(CHAIN, KEY, "attestation", MARK)
    assert caught.value.stored == Mark(101, 0, bytes(32))
    assert caught.value.proposed == MARK
    assert len(aws.asked) == 1


async def test_a_refusal_that_does_not_show_the_item_is_read_back(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(cancelled("ConditionalCheckFailed"), holding(stored(200)))
        with pytest.raises(DoubleSignError, match="is not above level 200 round 3"):
            await store.advance(CHAIN, KEY, "block", MARK)
    assert aws.names == ["TransactWriteItems", "GetItem"]


@pytest.mark.parametrize("item", [stored(99, 0), stored(100, 2)])
async def test_a_refusal_that_the_rule_does_not_bear_out_is_no_permission(
    aws: Scripted, item: Fields
) -> None:
    async with opened(aws) as store:
        aws.play(refused(item))
        with pytest.raises(IntegrityError, match="refused a mark that is above"):
            await store.advance(CHAIN, KEY, "block", MARK)


BAD_ITEMS = [
    {"lvl": {"N": "-1"}},
    {"lvl": {"N": "2147483648"}},
    {"lvl": {"N": "1.5"}},
    {"lvl": {"N": "1E+2"}},
    {"lvl": {"N": ""}},
    {"lvl": {"S": "5"}},
    {"lvl": {"NULL": True}},
    {"lvl": {}},
    {"round": {"N": "-3"}},
    {"round": {"N": "99999999999"}},
    {"round": {"BOOL": True}},
    {"digest": {"B": base64.b64encode(b"short").decode()}},
    {"digest": {"S": "vh2THNfr"}},
    {"digest": {"S": KEY}},
    {"digest": {"N": "5"}},
]


@pytest.mark.parametrize("bad", BAD_ITEMS)
async def test_an_item_that_cannot_be_a_mark_is_named_and_nothing_is_signed(
    aws: Scripted, bad: Fields
) -> None:
    item = stored() | bad
    async with opened(aws) as store:
        aws.play(refused(item))
        with pytest.raises(IntegrityError, match=rf"{CHAIN}/{KEY}', 'block' of the DynamoDB table marks"):
            await store.advance(CHAIN, KEY, "block", MARK)
        aws.play(holding(item))
        with pytest.raises(IntegrityError):
            await store.current(CHAIN, KEY, "block")
        aws.play(Answer({"Items": [item], "Count": 1}))
        with pytest.raises(ConfigError, match=f"{CHAIN}/{KEY}"):
            await store.inspect()


@pytest.mark.parametrize("idx", [{"S": "no slash"}, {"S": "/x"}, {"S": "a/b/c"}, {"N": "5"}, {"S": ""}])
async def test_an_item_of_nobody_stops_an_inspection(aws: Scripted, idx: Fields) -> None:
    async with opened(aws) as store:
        aws.play(Answer({"Items": [stored(idx=idx)], "Count": 1}))
        with pytest.raises(ConfigError, match="idx"):
            await store.inspect()


@pytest.mark.parametrize(
    "bad",
    [
        bad
        for bad in BAD_ITEMS
        if "digest" not in bad and not str(bad).count("1.5") and "1E+2" not in str(bad)
    ],
)
async def test_the_condition_itself_refuses_numbers_that_cannot_be_a_place(
    dynamodb: Emulated, bad: Fields
) -> None:
    item = stored(1, 0) | {name: value for name, value in bad.items() if value and value != {"N": ""}}
    if any(not value or value == {"N": ""} for value in bad.values()):
        item = {name: value for name, value in item.items() if name not in bad}
    settings = dynamodb.settings()
    store = DynamoStore(settings, patience=SLOW_MACHINE)
    await store.open()
    client = dynamodb.client()
    client.put_item(TableName=settings.table, Item=item)
    with pytest.raises(IntegrityError):
        await store.advance(CHAIN, KEY, "block", Mark(2**31 - 1, 2**31 - 1, HASH))
    assert client.get_item(TableName=settings.table, Key=_key("block"))["Item"] == item
    client.close()
    await store.close()


def _key(kind: str) -> Fields:
    return {"idx": {"S": f"{CHAIN}/{KEY}"}, "request": {"S": kind}}


@pytest.mark.parametrize(
    "digest",
    [
        {"B": bytes.fromhex("00" * 31 + "07")},
        {"S": "vh1rVMcy1ofDvvGbsdBQ3q9UhkfQHuyhnfBa8fSkkNyaWvWwyCTW"},
    ],
)
async def test_signatory_s_items_protect_and_the_same_bytes_pass_whichever_way_the_digest_is_written(
    dynamodb: Emulated, digest: Fields
) -> None:
    from base58 import b58encode_check  # noqa: PLC0415 - the independent encoder, for this test alone

    hash_ = bytes(31) + b"\x07"
    if "S" in digest:
        digest = {"S": b58encode_check(bytes.fromhex("016af2") + hash_).decode()}
    settings = dynamodb.settings()
    store = DynamoStore(settings, patience=SLOW_MACHINE)
    await store.open()
    client = dynamodb.client()
    client.put_item(TableName=settings.table, Item=stored(50, 1, digest=digest))
    assert await store.current(CHAIN, KEY, "block") == Mark(50, 1, hash_)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, KEY, "block", Mark(50, 1, HASH))
    await store.advance(CHAIN, KEY, "block", Mark(50, 1, hash_))
    written = client.get_item(TableName=settings.table, Key=_key("block"))["Item"]
    assert written["digest"] == {"B": hash_}
    client.close()
    await store.close()


async def test_an_item_that_is_lost_or_put_back_lets_nothing_through_that_contradicts_this_process(
    dynamodb: Emulated,
) -> None:
    settings = dynamodb.settings()
    store = DynamoStore(settings, patience=SLOW_MACHINE)
    await store.open()
    await store.advance(CHAIN, KEY, "attestation", MARK)
    client = dynamodb.client()
    client.delete_item(TableName=settings.table, Key=_key("attestation"))
    for kind in ("attestation", "attestation_with_dal"):
        for level in (99, 100):
            with pytest.raises(WatermarkError):
                await store.advance(CHAIN, KEY, kind, Mark(level, 3, bytes(32)))
    assert "Item" not in client.get_item(TableName=settings.table, Key=_key("attestation"))
    await store.advance(CHAIN, KEY, "attestation", MARK)
    found = client.get_item(TableName=settings.table, Key=_key("attestation"))["Item"]
    assert (found["lvl"], found["digest"]) == ({"N": "100"}, {"B": HASH})
    client.close()
    await store.close()


async def test_a_lift_that_meets_another_hash_and_then_a_higher_mark_leaves_that(aws: Scripted) -> None:
    other = stored(digest={"B": base64.b64encode(bytes(32)).decode()})
    lower = failed("ConditionalCheckFailedException", Item=other)
    async with opened(aws) as store:
        aws.play(lower, failed("ConditionalCheckFailedException", Item=stored(101)))
        assert await store.lift({CHAIN: {KEY: {"block": MARK}}}) == 0
        aws.play(lower, Answer({"ConsumedCapacity": {"TableName": "marks", "CapacityUnits": 1.0}}))
        assert await store.lift({CHAIN: {KEY: {"block": MARK}}}) == 1
    written = aws.asked[-1][1]
    assert "digest" not in written["Item"]
    assert written["ConditionExpression"] == "#lvl = :lvl AND #round = :round"


DENIED = (
    "User: arn:aws:sts::111122223333:assumed-role/signer/i-0 is not authorized to perform: "
    "dynamodb:ConditionCheckItem on resource: arn:aws:dynamodb:eu-west-1:111122223333:table/marks because no "
    "identity-based policy allows the dynamodb:ConditionCheckItem action"
)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (DENIED, "dynamodb:ConditionCheckItem"),
        ("no", "dynamodb:PutItem and dynamodb:ConditionCheckItem"),
        ("perform: kms:Decrypt on resource", "kms:Decrypt"),
    ],
)
async def test_a_missing_right_is_named_at_once(aws: Scripted, text: str, right: str) -> None:
    async with opened(aws) as store:
        aws.play(failed("AccessDeniedException", message=text))
        with pytest.raises(UnavailableError, match=f"the right {right} is missing") as caught:
            await store.advance(CHAIN, KEY, "block", MARK)
        assert "arn:" not in str(caught.value)
        assert right in (caught.value.hint or "")
    assert len(aws.asked) == 1


async def test_no_word_of_a_refused_signature_is_passed_on(aws: Scripted) -> None:
    secret = AwsCredentials("AKIDEXAMPLE", "the-secret-key", "the-session-token")
    async with opened(aws, credentials=secret) as store:
        aws.play(failed("InvalidSignatureException", message="x-amz-security-token:the-session-token"))
        with pytest.raises(UnavailableError) as caught:
            await store.advance(CHAIN, KEY, "block", MARK)
    error: BaseException | None = caught.value
    assert error
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "the-se" not in f"{error} {error!r} {vars(error)} {store!r} {store._table._settings!r}"
    assert "clock" in (caught.value.hint or "")


async def test_written_credentials_that_expired_are_not_tried_again(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(failed("ExpiredTokenException"))
        with pytest.raises(UnavailableError, match="have expired"):
            await store.advance(CHAIN, KEY, "block", MARK)
    assert len(aws.asked) == 1


async def test_credentials_of_the_default_chain_are_read_again_once_they_expired(
    aws: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "old")

    def expire(_: Fields) -> Answer:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
        return failed("ExpiredTokenException")

    async with opened(aws, credentials=None) as store:
        aws.play(expire, DONE)
        await store.advance(CHAIN, KEY, "block", MARK)
    used = [headers["Authorization"] for headers in aws.headers]
    assert "Credential=AKIDOLD/" in used[0]
    assert "Credential=AKIDNEW/" in used[1]


async def test_written_credentials_are_used_whatever_the_environment_holds(
    aws: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    async with opened(aws) as store:
        aws.play(DONE)
        await store.advance(CHAIN, KEY, "block", MARK)
    assert f"Credential={CREDENTIALS.access_key_id}/" in aws.headers[0]["Authorization"]


@pytest.mark.parametrize(
    ("code", "family", "text"),
    [
        ("ResourceNotFoundException", UnavailableError, "there is no DynamoDB table marks"),
        ("UnrecognizedClientException", UnavailableError, "AWS refuses the credentials"),
        ("ValidationException", UnavailableError, r"refused transact_write_items \(ValidationException\)"),
    ],
)
async def test_what_a_retry_cannot_mend_ends_at_once(
    aws: Scripted, code: str, family: type[SignatoryError], text: str
) -> None:
    async with opened(aws) as store:
        aws.play(failed(code))
        with pytest.raises(family, match=text):
            await store.advance(CHAIN, KEY, "block", MARK)
    assert len(aws.asked) == 1


async def test_a_lift_whose_answer_was_lost_counts_what_rose(aws: Scripted) -> None:
    def ours(body: Fields) -> Answer:
        return failed("ConditionalCheckFailedException", Item=item | {"token": body["Item"]["token"]})

    item = stored()
    async with opened(aws) as store:
        aws.play(LOST, ours)
        assert await store.lift({CHAIN: {KEY: {"block": MARK}}}) == 1
        aws.play(failed("ConditionalCheckFailedException", Item=item))
        assert await store.lift({CHAIN: {KEY: {"block": MARK}}}) == 0


async def test_every_page_of_the_table_is_read_consistently(aws: Scripted) -> None:
    def page(level: int, last: bool) -> Answer:
        item = stored(level) | {"request": {"S": f"kind{level}"}}
        return Answer(
            {"Items": [item], "Count": 1} | ({} if last else {"LastEvaluatedKey": _key(f"kind{level}")})
        )

    async with opened(aws) as store:
        aws.play(page(1, False), failed("ThrottlingException"), page(2, False), page(3, True))
        found = await store.inspect()
    assert {kind: mark.level for kind, mark in found[CHAIN][KEY].items()} == {
        "kind1": 1,
        "kind2": 2,
        "kind3": 3,
    }
    assert aws.names == ["Scan"] * 4
    assert all(body["ConsistentRead"] for _, body in aws.asked)
    assert "ExclusiveStartKey" not in aws.asked[0][1]
    assert aws.asked[3][1]["ExclusiveStartKey"] == _key("kind2")


async def test_a_table_that_is_not_there_is_made_on_demand_and_protected(dynamodb: Emulated) -> None:
    settings = dynamodb.settings()
    store = DynamoStore(settings, patience=SLOW_MACHINE)
    await store.open()
    client = dynamodb.client()
    table = client.describe_table(TableName=settings.table)["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "idx", "KeyType": "HASH"},
        {"AttributeName": "request", "KeyType": "RANGE"},
    ]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    client.close()
    await store.close()


async def test_two_daemons_that_both_find_no_table_agree_on_one(aws: Scripted) -> None:
    missing = failed("ResourceNotFoundException")
    creating = Answer({"Table": {**ACTIVE.body["Table"], "TableStatus": "CREATING"}})  # type: ignore[call-overload]
    store = DynamoStore(TableSettings("marks", REGION, aws.endpoint, CREDENTIALS), patience=PATIENT)
    aws.play(missing, failed("ResourceInUseException"), creating, ACTIVE)
    await store.open()
    assert aws.names == ["DescribeTable", "CreateTable", "DescribeTable", "DescribeTable"]
    await store.close()


async def test_a_table_that_may_not_be_made_or_has_other_keys_stops_the_start(dynamodb: Emulated) -> None:
    settings = dynamodb.settings(create=False)
    store = DynamoStore(settings, patience=SLOW_MACHINE)
    with pytest.raises(ConfigError, match="there is no DynamoDB table"):
        await store.open()
    client = dynamodb.client()
    client.create_table(
        TableName=settings.table,
        KeySchema=[{"AttributeName": "pkh", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pkh", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigError, match="has other keys than idx and request"):
        await store.open()
    client.close()
    await store.close()


async def test_a_store_that_was_not_opened_lets_nothing_through(aws: Scripted) -> None:
    store = DynamoStore(TableSettings("marks", REGION, aws.endpoint, CREDENTIALS), patience=PATIENT)
    with pytest.raises(UnavailableError, match="is not open"):
        await store.advance(CHAIN, KEY, "block", MARK)
    await store.close()
    assert aws.asked == []


async def test_a_close_waits_for_an_advance_under_way_and_its_retries(aws: Scripted) -> None:
    async with opened(aws) as store:
        aws.play(failed("ThrottlingException"), failed("ThrottlingException"), DONE)
        advancing = asyncio.create_task(store.advance(CHAIN, KEY, "block", MARK))
        await asyncio.sleep(0)
        await store.close()
        assert advancing.done()
        await advancing
    assert aws.names == ["TransactWriteItems"] * 3


async def test_every_call_is_reported_with_aws_s_word_for_what_failed(aws: Scripted) -> None:
    seen: list[tuple[str, str]] = []
    aws.play(ACTIVE)
    store = DynamoStore(TableSettings("marks", REGION, aws.endpoint, CREDENTIALS), patience=PATIENT)
    store.on_io = lambda operation, seconds, error: seen.append((operation, error)) if seconds >= 0 else None
    aws.play(failed("ResourceNotFoundException"), Answer({"TableDescription": {}}), ACTIVE)
    await store.open()
    aws.play(failed("ThrottlingException"), LOST, ABSENT, DONE)
    await store.advance(CHAIN, KEY, "block", MARK)
    aws.play(refused(stored(500)))
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, KEY, "block", MARK)
    await store.close()
    assert seen == [
        ("read", "ResourceNotFoundException"),
        ("create", ""),
        ("read", ""),
        ("write", "ThrottlingException"),
        ("write", "ConnectionClosedError"),
        ("read", ""),
        ("write", ""),
        ("write", ""),
    ]
    assert (store.backend, store.table) == ("aws", "marks")
