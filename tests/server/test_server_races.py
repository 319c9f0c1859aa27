"""Requests that conflict and come at once, through whole daemons: one signature, wherever marks are kept."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dynamodb import SLOW_MACHINE, Emulated, emulated
from serving import PAIRS, TZ1, ScriptedVault, attestation, serving

from signatory.watermark.dynamodb import DynamoStore
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.store import WatermarkStore


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Emulated]:
    with emulated() as running:
        yield running


@pytest.fixture(params=["file", "mem", "dynamodb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], WatermarkStore]:
    if request.param == "file":
        return lambda: FileStore(tmp_path)
    if request.param == "mem":
        return MemoryStore
    where = request.getfixturevalue("dynamodb").settings()
    return lambda: DynamoStore(where, patience=SLOW_MACHINE)


async def test_ten_that_conflict_at_once_give_exactly_one_signature(
    make: Callable[[], WatermarkStore],
) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, watermark=make()) as running:
        replies = await asyncio.gather(
            *(running.sign(TZ1, attestation(9, payload=row, dal=row % 2 == 0)) for row in range(10))
        )
    assert sorted(reply.status for reply in replies) == [200, *[409] * 9]
    assert len(vault.signed) == 1


async def test_the_same_bytes_at_the_current_mark_are_signed_again_also_when_the_vault_failed(
    make: Callable[[], WatermarkStore],
) -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.tamper = lambda signature: bytes(len(signature))
    async with serving(vault, watermark=make()) as running:
        assert (await running.sign(TZ1, attestation(9))).status == 500
        vault.tamper = lambda signature: signature
        assert (await running.sign(TZ1, attestation(9, payload=1))).status == 409
        assert [(await running.sign(TZ1, attestation(9))).status for _ in range(2)] == [200, 200]
        assert (await running.sign(TZ1, attestation(9, 1))).status == 200
        assert (await running.sign(TZ1, attestation(9))).status == 409


async def test_two_daemons_on_one_table_sign_each_place_once(dynamodb: Emulated) -> None:
    where = dynamodb.settings()
    one, other = ScriptedVault(*PAIRS.values()), ScriptedVault(*PAIRS.values())
    async with (
        serving(one, watermark=DynamoStore(where, patience=SLOW_MACHINE)) as first,
        serving(other, watermark=DynamoStore(where, patience=SLOW_MACHINE)) as second,
    ):
        for level in range(1, 11):
            replies = await asyncio.gather(
                *(
                    running.sign(TZ1, attestation(level, payload=5 * place + row, dal=row % 2 == 0))
                    for place, running in enumerate((first, second))
                    for row in range(5)
                )
            )
            assert sorted(reply.status for reply in replies) == [200, *[409] * 9]
    assert len(one.signed) + len(other.signed) == 10
