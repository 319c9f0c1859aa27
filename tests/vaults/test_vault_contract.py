"""What every vault does, whichever driver it is; run over the table of drivers."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_enclave import FakeEnclave
from independent import bls_version_1, proves, verifies
from real import Processes
from rigs import CALL, Rig, file_rig, mem_rig, nitro_rig

import vaults
from signatory.crypto import keypair
from signatory.crypto.curves import LENGTHS, KeyType, Purpose, SigningVersion, default_purpose
from signatory.errors import MalformedError, NotFoundError
from signatory.registry import load
from signatory.tezos.keys import PublicKey
from signatory.vault import AggregateProver, Generator, Importer, Prover, Vault, VaultKey

RIGS = {
    "file": ("file",),
    "mem": ("mem",),
    "nitro": (
        "nitro and a fake enclave, reference",
        "nitro and real processes, reference",
        "nitro and real processes, extended",
    ),
}
"""The rigs of each driver; a driver without one fails the suite."""

LATEST = SigningVersion.LATEST
MESSAGE = b"\x03" + bytes(range(200))


@pytest.fixture(params=[name for names in RIGS.values() for name in names])
async def rig(request: pytest.FixtureRequest, short_folder: Path) -> AsyncIterator[Rig]:
    match request.param:
        case "mem":
            yield mem_rig(short_folder)
        case "file":
            yield file_rig(short_folder)
        case "nitro and a fake enclave, reference":
            enclave = FakeEnclave(short_folder / "enclave.sock")
            await enclave.start()
            yield nitro_rig(short_folder)
            await enclave.stop()
        case name:
            processes: Processes = request.getfixturevalue("processes")
            yield processes.rig(short_folder, protocol=name.rpartition(" ")[2])


@pytest.fixture
async def filled(rig: Rig) -> AsyncIterator[tuple[Vault, dict[KeyType, VaultKey]]]:
    vault, keys = await rig.filled()
    yield vault, keys
    await vault.close()


Filled = tuple[Vault, dict[KeyType, VaultKey]]


def test_every_driver_of_the_table_has_a_rig_and_loads_lazily_by_its_name() -> None:
    assert set(RIGS) == set(vaults.DRIVERS)
    for name in vaults.DRIVERS:
        assert isinstance(load(name, vaults.DRIVERS), type)


async def test_every_family_signs_what_an_independent_library_verifies(filled: Filled, rig: Rig) -> None:
    vault, keys = filled
    assert set(keys) == set(rig.families)
    for family, key in keys.items():
        signature = await vault.sign(key, MESSAGE, LATEST, CALL)
        assert len(signature) == LENGTHS[family].signature
        public, raw = key.public_key.data, key.purpose is Purpose.RAW
        assert verifies(family.value, public, MESSAGE, signature, raw=raw), family
        assert not verifies(family.value, public, MESSAGE + b"!", signature, raw=raw), family


async def test_messages_that_are_empty_or_long_are_signed(filled: Filled) -> None:
    vault, keys = filled
    for message in (b"", bytes(4096), bytes(range(256)) * 1024):
        signature = await vault.sign(keys[KeyType.ED25519], message, LATEST, CALL)
        assert verifies("ed25519", keys[KeyType.ED25519].public_key.data, message, signature)


async def test_bls_signs_by_the_version_it_is_asked_for_and_never_by_version_0(filled: Filled) -> None:
    vault, keys = filled
    key = keys[KeyType.BLS]
    assert bls_version_1(
        key.public_key.data, MESSAGE, await vault.sign(key, MESSAGE, SigningVersion.V1, CALL)
    )
    with pytest.raises(MalformedError, match="SigningVersion0 is not supported for BLS keys"):
        await vault.sign(key, MESSAGE, SigningVersion.V0, CALL)
    signature = await vault.sign(key, MESSAGE, SigningVersion.V2, CALL)
    assert verifies("bls", key.public_key.data, MESSAGE, signature)


async def test_possession_is_proved_for_bls_and_refused_for_the_others(filled: Filled) -> None:
    vault, keys = filled
    assert isinstance(vault, Prover)
    key = keys[KeyType.BLS]
    assert proves(key.public_key.data, await vault.prove_possession(key, CALL))
    for family in set(keys) - {KeyType.BLS}:
        with pytest.raises(MalformedError, match="Proof of possession is not supported"):
            await vault.prove_possession(keys[family], CALL)


async def test_possession_is_proved_over_another_public_key_where_the_vault_can(
    filled: Filled, rig: Rig
) -> None:
    vault, keys = filled
    assert isinstance(vault, AggregateProver)
    own = keys[KeyType.BLS].public_key.data
    other = keypair.from_secret(KeyType.BLS, b"\x09" * 32).public
    if "reference" in rig.name:
        with pytest.raises(MalformedError, match="over another public key needs the extended protocol"):
            await vault.prove_possession_of(keys[KeyType.BLS], other, CALL)
        return
    proof = await vault.prove_possession_of(keys[KeyType.BLS], other, CALL)
    assert proves(own, proof, other)
    assert not proves(own, proof)
    for wrong in (b"", other[:-1], other + b"\0", b"\xc0" + bytes(47), b"x" * 48):
        with pytest.raises(MalformedError):
            await vault.prove_possession_of(keys[KeyType.BLS], wrong, CALL)
    for family in set(keys) - {KeyType.BLS}:
        with pytest.raises(MalformedError, match="Proof of possession is not supported"):
            await vault.prove_possession_of(keys[family], other, CALL)


async def test_the_list_is_stable_names_each_key_once_and_gives_its_purpose(filled: Filled) -> None:
    vault, keys = filled
    first, second = await vault.list(), await vault.list()
    assert list(first) == list(second)
    assert {key.id for key in first} == {key.id for key in keys.values()}
    assert len({key.id for key in first}) == len(first)
    assert all(key.purpose is default_purpose(key.public_key.type) for key in first)


async def test_a_key_that_is_not_there_is_not_found(filled: Filled) -> None:
    vault, _ = filled
    stranger = keypair.from_secret(KeyType.ED25519, b"\x77" * 32)
    key = VaultKey(PublicKey(stranger.type, stranger.public), stranger.purpose)
    with pytest.raises(NotFoundError, match=key.id):
        await vault.sign(key, MESSAGE, LATEST, CALL)


async def test_a_key_is_not_used_for_a_purpose_it_was_not_born_with(filled: Filled) -> None:
    vault, keys = filled
    key = keys[KeyType.MLDSA44]
    with pytest.raises(NotFoundError):
        await vault.sign(VaultKey(key.public_key, Purpose.RAW), MESSAGE, LATEST, CALL)


async def test_a_generated_key_signs_is_listed_and_survives_where_the_vault_is_durable(rig: Rig) -> None:
    vault = await rig.open()
    if not isinstance(vault, Generator):
        await vault.close()
        return
    made = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(3)]
    listed = {key.id for key in await vault.list()}
    assert {key.id for key in made} <= listed
    await vault.close()
    again = await rig.open()
    found = {key.id: key for key in await again.list()}
    for key in made:
        assert (key.id in found) is rig.durable
        if rig.durable:
            signature = await again.sign(found[key.id], MESSAGE, LATEST, CALL)
            assert verifies("ed25519", key.public_key.data, MESSAGE, signature)
    await again.close()


async def test_an_imported_key_is_the_one_that_was_given_and_a_second_import_is_refused(rig: Rig) -> None:
    vault = await rig.open()
    if isinstance(vault, Importer):
        for family in rig.families:
            pair = keypair.from_secret(family, b"\x05" * 32)
            key = await vault.import_key(pair, CALL)
            assert key.public_key.data == pair.public
            signature = await vault.sign(key, MESSAGE, LATEST, CALL)
            raw = key.purpose is Purpose.RAW
            assert verifies(family.value, pair.public, MESSAGE, signature, raw=raw), family
            with pytest.raises(MalformedError, match="already"):
                await vault.import_key(pair, CALL)
        assert len({key.id for key in await vault.list()}) == len(await vault.list())
    await vault.close()


async def test_cancelled_calls_never_shift_a_signature_to_another_call(filled: Filled) -> None:
    vault, keys = filled
    rng = random.Random(5)  # noqa: S311 - an order to replay, no secret
    families = [KeyType.ED25519, KeyType.SECP256K1, KeyType.P256]

    async def one(index: int) -> None:
        family = families[index % len(families)]
        message = b"\x03 message %d" % index
        signature = await vault.sign(keys[family], message, LATEST, CALL)
        assert verifies(family.value, keys[family].public_key.data, message, signature)

    tasks = [asyncio.create_task(one(index)) for index in range(40)]
    for task in rng.sample(tasks, 10):
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
    await one(0)


async def test_calls_at_the_same_time_each_get_their_own_signature(filled: Filled) -> None:
    vault, keys = filled
    key = keys[KeyType.ED25519]
    messages = [b"\x03 %d" % index for index in range(32)]
    found = await asyncio.gather(*(vault.sign(key, message, LATEST, CALL) for message in messages))
    pairs = zip(messages, found, strict=True)
    assert all(verifies("ed25519", key.public_key.data, message, signature) for message, signature in pairs)


async def test_an_open_vault_is_ready_and_closing_twice_is_no_error(rig: Rig) -> None:
    vault = await rig.open()
    assert vault.readiness().ready
    assert vault.label in {"File", "Mem", "NitroEnclave"}
    await vault.close()
    await vault.close()
