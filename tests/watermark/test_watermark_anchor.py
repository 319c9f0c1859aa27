"""The epoch in a second place: written durably, never lowered, never taken for an empty one."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from dynamodb import SLOW_MACHINE, Emulated
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import ConfigError, MalformedError, UnavailableError
from signatory.watermark import anchor
from signatory.watermark.anchor import Anchor, Epoch, FileAnchor
from signatory.watermark.dynamodb import DynamoAnchor, DynamoStore
from signatory.watermark.rules import Mark

STORE = "0f2e4d6c8b0a"


def _file(folder: Path, _: Callable[[], Emulated]) -> Callable[[], Anchor]:
    return lambda: FileAnchor(folder / "anchor.json")


def _dynamodb(_: Path, emulator: Callable[[], Emulated]) -> Callable[[], Anchor]:
    settings = emulator().settings()
    return lambda: DynamoAnchor(settings, "baker-1", patience=SLOW_MACHINE)


ANCHORS = {"file": _file, "dynamodb": _dynamodb}


@pytest.fixture(params=ANCHORS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Anchor]:
    return ANCHORS[request.param](tmp_path, lambda: request.getfixturevalue("dynamodb"))


async def test_an_epoch_is_there_after_a_restart_and_rises(make: Callable[[], Anchor]) -> None:
    for number in (0, 1, 1, 7, 2**63 - 1):
        one = make()
        await one.write(Epoch(STORE, number))
        await one.close()
        other = make()
        assert await other.read() == Epoch(STORE, number)
        await other.close()


async def test_nothing_was_ever_written_is_none(make: Callable[[], Anchor]) -> None:
    one = make()
    assert await one.read() is None
    await one.close()
    await one.close()


async def test_an_epoch_never_goes_down_and_says_that_the_folder_is_an_old_copy(
    make: Callable[[], Anchor],
) -> None:
    one = make()
    await one.write(Epoch(STORE, 10))
    with pytest.raises(ConfigError, match="the folder is an old copy") as caught:
        await one.write(Epoch(STORE, 9))
    assert caught.value.hint
    assert await one.read() == Epoch(STORE, 10)
    await one.close()


async def test_an_anchor_of_another_folder_is_left_alone(make: Callable[[], Anchor]) -> None:
    one = make()
    await one.write(Epoch(STORE, 1))
    with pytest.raises(ConfigError, match="belongs to another mark folder") as caught:
        await one.write(Epoch("another", 50))
    assert one.place in str(caught.value)
    assert await one.read() == Epoch(STORE, 1)
    await one.close()


async def test_of_many_writers_the_highest_stays(make: Callable[[], Anchor]) -> None:
    anchors = [make() for _ in range(5)]
    results = await asyncio.gather(
        *(one.write(Epoch(STORE, number)) for number, one in enumerate(anchors, 1)), return_exceptions=True
    )
    assert results[-1] is None
    assert all(result is None or isinstance(result, ConfigError) for result in results)
    assert await anchors[0].read() == Epoch(STORE, 5)
    for one in anchors:
        await one.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"store":"a"}',
        b'{"store":"a","epoch":-1}',
        b'{"store":"a","epoch":1.5}',
        b'{"store":"a","epoch":true}',
        b'{"store":"a","epoch":9223372036854775808}',
        b'{"store":"","epoch":1}',
        b'{"store":"a b","epoch":1}',
        b'{"store":5,"epoch":1}',
        b'{"store":"a","epoch":1,"more":2}',
        b'{"store":"a","epoch":1}' + b" " * 5000,
        b"[" * 4000,
        b"\xff",
    ],
)
async def test_a_file_that_is_no_anchor_is_named_and_left(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "anchor.json"
    path.write_bytes(data)
    for attempt in (FileAnchor(path).read, lambda: FileAnchor(path).write(Epoch(STORE, 1))):
        with pytest.raises(ConfigError, match=r"anchor\.json cannot be read"):
            await attempt()
    assert path.read_bytes() == data


@given(
    st.binary(max_size=60)
    | st.from_regex(rb'\{"store": ?"[a-z]{0,2}", ?"epoch": ?[0-9-]{1,3}\}', fullmatch=True)
)
def test_any_bytes_are_an_epoch_or_malformed(data: bytes) -> None:
    try:
        epoch = anchor._decode(data)
    except MalformedError:
        return
    assert json.loads(data) == {"store": epoch.store, "epoch": epoch.number}


async def test_a_folder_that_is_not_mounted_is_not_an_empty_anchor(tmp_path: Path) -> None:
    one = FileAnchor(tmp_path / "gone" / "anchor.json")
    with pytest.raises(UnavailableError, match="its folder is not there"):
        await one.read()
    with pytest.raises(UnavailableError, match="its folder is not there"):
        await one.write(Epoch(STORE, 1))
    assert not (tmp_path / "gone").exists()


async def test_a_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    path.mkdir()
    with pytest.raises(UnavailableError, match="Is a directory"):
        await FileAnchor(path).read()


async def test_an_anchor_and_the_marks_can_share_a_table(dynamodb: Emulated) -> None:
    settings = dynamodb.settings()
    one, store = (
        DynamoAnchor(settings, patience=SLOW_MACHINE),
        DynamoStore(settings, patience=SLOW_MACHINE),
    )
    await store.open()
    await one.write(Epoch(STORE, 3))
    await store.advance("NetXdQprcVkpaWU", "tz1x", "block", Mark(1, 0, bytes(32)))
    assert await store.inspect() == {"NetXdQprcVkpaWU": {"tz1x": {"block": Mark(1, 0, bytes(32))}}}
    client = dynamodb.client()
    item = client.get_item(
        TableName=settings.table, Key={"idx": {"S": "anchor/default"}, "request": {"S": "epoch"}}
    )["Item"]
    assert (item["store"], item["epoch"]) == ({"S": STORE}, {"N": "3"})
    client.close()
    await one.close()
    await store.close()


@pytest.mark.parametrize(
    "bad", [{"epoch": {"N": "-1"}}, {"epoch": {"S": "1"}}, {"store": {"S": "a b"}}, {"epoch": {"N": "1.5"}}]
)
async def test_an_item_that_is_no_anchor_is_named(dynamodb: Emulated, bad: dict[str, dict[str, str]]) -> None:
    settings = dynamodb.settings()
    one = DynamoAnchor(settings, patience=SLOW_MACHINE)
    await one.write(Epoch(STORE, 3))
    client = dynamodb.client()
    key = {"idx": {"S": "anchor/default"}, "request": {"S": "epoch"}}
    client.put_item(TableName=settings.table, Item={**key, "store": {"S": STORE}, "epoch": {"N": "3"}, **bad})
    with pytest.raises(ConfigError, match="anchor/default cannot be read"):
        await one.read()
    client.close()
    await one.close()
