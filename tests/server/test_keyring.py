"""The keyring: broken vaults, keys in two places, and searches that cost nothing."""

import asyncio
import logging
import threading
from dataclasses import replace
from typing import Self

import pytest
from serving import PAIRS, TZ1, TZ2, ScriptedConfig, ScriptedVault, registration

from signatory.crypto.curves import KeyType
from signatory.errors import NotFoundError, UnavailableError
from signatory.keyring import Keyring
from signatory.limits import KeyringLimits
from signatory.vault import Readiness, Registration, VaultContext, VaultKey

ED, SECP = PAIRS[KeyType.ED25519], PAIRS[KeyType.SECP256K1]


async def test_a_key_is_found_with_its_vault_and_a_verifier() -> None:
    vault = ScriptedVault(ED, SECP)
    keyring = Keyring([registration("one", vault)])
    await keyring.start()
    name, found, key, verifier = await keyring.find(TZ2)
    assert (name, found, key.id) == ("one", vault, TZ2)
    assert verifier.verify(b"m", SECP.sign(b"m"))
    assert [entry.key.id for entry in keyring.list_all()] == [TZ1, TZ2]
    await keyring.close()
    assert vault.closed == 1
    assert list(keyring.list_all()) == []


async def test_a_thousand_unknown_keys_cost_one_listing() -> None:
    vault = ScriptedVault(ED)
    keyring = Keyring([registration("one", vault)])
    await keyring.start()
    vault.listing_gate.clear()
    searches = [asyncio.create_task(keyring.find(f"tz1{row}")) for row in range(1000)]
    await asyncio.sleep(0)
    vault.listing_gate.set()
    results = await asyncio.gather(*searches, return_exceptions=True)
    assert {type(result) for result in results} == {NotFoundError}
    assert {str(result) for result in results} == {"this key not found in any vault"}
    with pytest.raises(NotFoundError):
        await keyring.find("tz1again")
    assert vault.listed == 2  # at the start, and once for all of them
    await keyring.close()


async def test_a_key_made_meanwhile_is_found_by_a_miss_and_by_a_refresh() -> None:
    vault = ScriptedVault()
    keyring = Keyring([registration("one", vault)])
    await keyring.start()
    vault.pairs[TZ1] = ED
    assert (await keyring.find(TZ1)).key.id == TZ1
    vault.pairs[TZ2] = SECP
    await keyring.refresh()
    assert keyring.get(TZ2) is not None
    del vault.pairs[TZ1]
    await keyring.refresh()
    assert keyring.get(TZ1) is None
    await keyring.close()


async def test_a_searcher_that_gives_up_does_not_end_the_listing_of_the_others() -> None:
    vault = ScriptedVault()
    keyring = Keyring([registration("one", vault)])
    await keyring.start()
    vault.pairs[TZ1] = ED
    vault.listing_gate.clear()
    first, second = (asyncio.create_task(keyring.find(TZ1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    vault.listing_gate.set()
    assert (await second).key.id == TZ1
    await keyring.close()


async def test_a_vault_that_does_not_open_is_named_and_tried_again_until_it_does() -> None:
    broken, working = ScriptedVault(ED), ScriptedVault(SECP)
    broken.opening_error = UnavailableError("no enclave listens", hint="start it")
    limits = KeyringLimits(first_retry=0.001, last_retry=0.002, miss=0)
    keyring = Keyring([registration("broken", broken), registration("working", working)], limits)
    await keyring.start()
    assert (await keyring.find(TZ2)).vault_name == "working"
    with pytest.raises(UnavailableError, match="vault broken is not ready: no enclave listens; start it"):
        await keyring.find(TZ1)
    assert keyring.readiness()["broken"] == Readiness(ready=False, reason="no enclave listens; start it")
    assert keyring.vault("broken") is None
    broken.opening_error = None
    while keyring.get(TZ1) is None:  # noqa: ASYNC110 - the retry has no event
        await asyncio.sleep(0)
    assert keyring.readiness()["broken"].ready
    assert broken.opened >= 2
    await keyring.close()


async def test_a_vault_that_hangs_at_opening_or_listing_holds_nobody_up() -> None:
    hanging, working = ScriptedVault(ED), ScriptedVault(SECP)
    hanging.listing_gate.clear()
    limits = KeyringLimits(opening=0.01, listing=0.01, first_retry=60)
    keyring = Keyring([registration("hanging", hanging), registration("working", working)], limits)
    await keyring.start()
    assert keyring.readiness()["hanging"].reason == "it did not open within 0.01 s"
    assert hanging.closed == 1
    assert (await keyring.find(TZ2)).vault is working
    await keyring.close()


async def test_a_driver_with_a_mistake_in_it_takes_nobody_down() -> None:
    class Mistaken(ScriptedVault):
        async def list(self) -> list[VaultKey]:
            raise KeyError("a secret")

    keyring = Keyring([registration("mistaken", Mistaken(ED)), registration("working", ScriptedVault(SECP))])
    await keyring.start()
    assert (await keyring.find(TZ2)).vault_name == "working"
    reason = keyring.readiness()["mistaken"].reason
    assert "KeyError" in reason
    assert "a secret" not in reason
    await keyring.close()


async def test_a_vault_that_cannot_list_keeps_the_keys_it_had() -> None:
    vault = ScriptedVault(ED)
    keyring = Keyring([registration("one", vault)])
    await keyring.start()
    vault.listing_error = UnavailableError("storage is away")
    await keyring.refresh()
    assert keyring.get(TZ1) is not None
    await keyring.close()


async def test_the_first_vault_in_the_configuration_wins_a_key_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    first, second = ScriptedVault(ED), ScriptedVault(ED, SECP)
    keyring = Keyring([registration("first", first), registration("second", second)])
    await keyring.start()
    assert (await keyring.find(TZ1)).vault_name == "first"
    assert f"Key {TZ1} is in two vaults; first is used, second is not" in caplog.text
    await keyring.close()


async def test_a_pinned_key_comes_from_its_vault_only() -> None:
    vaults = [registration(name, ScriptedVault(ED)) for name in ("first", "second")]
    keyring = Keyring(vaults, pins={TZ1: "second"})
    await keyring.start()
    assert (await keyring.find(TZ1)).vault_name == "second"
    await keyring.close()
    lost = Keyring(vaults[:1], pins={TZ1: "second"})
    await lost.start()
    with pytest.raises(NotFoundError):
        await lost.find(TZ1)
    await lost.close()


async def test_a_tied_key_that_its_vault_lacks_is_not_found_whatever_became_of_other_vaults() -> None:
    broken = ScriptedVault(ED)
    broken.opening_error = UnavailableError("no enclave listens")
    vaults = [registration("broken", broken), registration("working", ScriptedVault())]
    keyring = Keyring(vaults, KeyringLimits(first_retry=60), pins={TZ1: "working", TZ2: "broken"})
    await keyring.start()
    with pytest.raises(NotFoundError):
        await keyring.find(TZ1)
    with pytest.raises(UnavailableError, match="vault broken is not ready"):
        await keyring.find(TZ2)
    await keyring.close()


async def test_a_person_may_take_longer_to_answer_than_a_vault_may_to_open() -> None:
    answered = threading.Event()

    def password(_prompt: str) -> str:
        answered.wait()
        return "typed at last"

    class Asking(ScriptedVault):
        @classmethod
        async def open(cls, config: ScriptedConfig, context: VaultContext) -> Self:
            assert await asyncio.to_thread(context.password, "Password: ") == "typed at last"
            return await super().open(config, context)

    known = registration("one", ScriptedVault(ED))
    slow = Registration("one", Asking, known.config, replace(known.context, password=password))
    keyring = Keyring([slow], KeyringLimits(opening=0.05))
    asyncio.get_running_loop().call_later(0.2, answered.set)
    await keyring.start()

    assert keyring.get(TZ1) is not None
    await keyring.close()


async def test_a_key_that_is_stored_but_refused_is_unavailable_with_the_reason_and_not_unknown() -> None:
    class Withheld(ScriptedVault):
        def withheld(self, key_id: str) -> str | None:
            return "the enclave cannot load it" if key_id == TZ2 else None

    keyring = Keyring([registration("one", Withheld(ED))])
    await keyring.start()

    with pytest.raises(
        UnavailableError, match=r"vault one holds this key but .*: the enclave cannot load it"
    ):
        await keyring.find(TZ2)
    with pytest.raises(NotFoundError):
        await keyring.find("tz3")
    await keyring.close()
