"""The nitro vault when its enclave hangs up, hangs, garbles, denies, or takes its time."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_enclave import FakeEnclave, FakeKey, ints, ok, struct
from rigs import CALL, LATEST, MESSAGE, Opened, nitro_rig, signs, until

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import (
    IntegrityError,
    UnavailableError,
)
from signatory.vault import Call, Resettable
from vaults.nitro import keeper, link
from vaults.nitro.driver import NitroVault
from vaults.nitro.loading import Roll

DENIED = ("AccessDeniedException: not authorized to perform: kms:Decrypt", "PCR0 of this enclave is 00ff")

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_the_vault_survives_the_enclave_s_death_and_its_keys_sign_again(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    keys = [await vault.generate(family, Purpose.TEZOS, CALL) for family in (KeyType.P256, KeyType.ED25519)]
    await fake.stop()
    await until(lambda: not vault.readiness().ready)
    assert "enclave" in vault.readiness().reason
    assert list(await vault.list()) == keys
    with pytest.raises(UnavailableError, match=r"^the enclave is not connected: "):
        await vault.sign(keys[0], MESSAGE, LATEST, Call("short", 0.05))
    waiting = [asyncio.create_task(signs(vault, key)) for key in keys]
    await fake.start()
    assert all(await asyncio.gather(*waiting))
    assert vault.readiness().ready


async def test_a_defect_while_healing_does_not_end_the_healing(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    read, broken = Roll.read, [2]

    async def breaks(roll: Roll, session: Any) -> None:
        if broken[0]:
            broken[0] -= 1
            raise RuntimeError("a defect")
        await read(roll, session)

    monkeypatch.setattr(Roll, "read", breaks)
    await fake.stop()
    await fake.start()
    await until(lambda: not broken[0])
    assert await signs(vault, key)


async def test_a_running_vault_that_is_denied_after_a_restart_says_so_and_heals(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    fake.denied = DENIED
    await fake.stop()
    await fake.start()
    await until(lambda: "00ff" in vault.readiness().reason)
    assert not vault.readiness().ready
    fake.denied = ()
    assert await signs(vault, key)


async def test_a_fleet_that_takes_long_to_load_opens_and_the_rest_follows(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = nitro_rig(short_folder)
    vault: Any = await opened(rig)
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(12)]
    await vault.close()
    monkeypatch.setattr(keeper, "LOADING", 0.001)
    monkeypatch.setattr(link, "LISTING", 0.001)
    opening = asyncio.Event()

    async def slow(name: str, _body: Any) -> None:
        if name == "Import" and fake.count("Import") > 2:
            await opening.wait()
        elif name == "Import":
            await asyncio.sleep(0.002)

    fake.hook = slow
    vault = await opened(rig)
    assert 0 < len(await vault.list()) < len(keys)
    opening.set()
    await until(lambda: len(vault._link.shown()) == len(keys))
    assert [key.id for key in await vault.list()] == [key.id for key in keys]


async def test_an_enclave_that_never_answers_costs_no_more_than_the_deadline(
    fake: FakeEnclave, short_folder: Path
) -> None:
    async def hang(_name: str, _body: Any) -> bytes:
        return await asyncio.Future()

    fake.hook = hang
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave within 0.05 s$"):
        await nitro_rig(short_folder, timeout=0.05).open()


async def test_an_enclave_that_hangs_up_is_not_dialled_in_a_tight_loop(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def at_once(delay: float) -> float:
        waits.append(delay)
        return 0.0

    monkeypatch.setattr(keeper, "_spread", at_once)
    vault: Any = await opened(nitro_rig(short_folder))
    for count in range(2, 6):
        for task in tuple(fake._tasks):
            task.cancel()
        await until(partial(_has, fake, count))
        await until(lambda: vault.readiness().ready)
    assert 0.01 in waits


def _has(fake: FakeEnclave, connections: int) -> bool:
    return fake.connections == connections


async def test_a_reset_leaves_the_shifted_connection_and_the_next_signature_is_right(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    stale = FakeKey("Ed25519", bytes(32)).sign(MESSAGE, 2)

    async def one_behind(name: str, _body: Any) -> bytes | None:
        if name != "Sign" or fake.connections > 1:
            return None
        reply = ok(struct(Ed25519=ints(stale)))
        return len(reply).to_bytes(4, "big") + reply

    fake.hook = one_behind
    assert not await signs(vault, key)
    resettable: Resettable = vault
    await resettable.reset("it does not verify")
    assert await signs(vault, key)
    assert fake.connections == 2


async def test_an_enclave_that_always_garbles_is_not_dialled_in_a_tight_loop(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def at_once(delay: float) -> float:
        waits.append(delay)
        return 0.0

    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    monkeypatch.setattr(keeper, "FIRST", 3.0)
    monkeypatch.setattr(keeper, "LAST", 99.0)
    monkeypatch.setattr(keeper, "_spread", at_once)

    async def garble(name: str, _body: Any) -> bytes | None:
        return b"\0\0\0\1\xff" if name == "Sign" else None

    fake.hook = garble
    for _ in range(3):
        with pytest.raises(IntegrityError):
            await signs(vault, key)
        await until(lambda: vault.readiness().ready)
    assert [wait for wait in waits if wait >= 3.0] == [3.0, 6.0, 12.0]


async def test_a_closed_vault_says_so_to_those_who_wait(fake: FakeEnclave, short_folder: Path) -> None:
    vault = await nitro_rig(short_folder).open()
    assert isinstance(vault, NitroVault)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await fake.stop()
    await until(lambda: not vault.readiness().ready)
    waiting = asyncio.create_task(signs(vault, key))
    await asyncio.sleep(0)
    await vault.close()
    with pytest.raises(UnavailableError, match=r"^the vault is closed$"):
        await waiting
