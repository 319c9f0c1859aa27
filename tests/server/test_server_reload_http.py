"""`/reload`: who may ask for it, one at a time, and what is told about the last."""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from multidict import CIMultiDict
from reloads import ON, Written, ended, reloaded, state, until
from serving import EVERYTHING, PAIRS, TRANSACTION, TZ1, TZ2, ScriptedVault, registration, serving, settings

from signatory.config.load import Config, ConfigProblemsError
from signatory.config.problems import Problem
from signatory.keyring import Keyring
from signatory.limits import KeyringLimits
from signatory.reload import Reloader, Unchanged
from signatory.server.daemon import Daemon
from signatory.server.reloading import Reloading
from signatory.vault import VaultKey
from signatory.watermark.memory import MemoryStore

ONE = f"  {TZ1}: {EVERYTHING}\n"


@pytest.mark.parametrize("utility", [False, True])
async def test_a_reload_is_begun_and_told_on_both_listeners(utility: bool) -> None:
    written = Written()
    async with serving(server=ON, source=written) as running:
        assert await state(running, utility=utility) == {"state": "idle", "number": 0, "last": None}
        began = datetime.now(UTC).replace(microsecond=0)
        reply = await running.ask("POST", "/reload", b"", utility=utility)
        assert (reply.status, reply.body) == (202, b'{"reload":"started","number":1}\n')
        last = await ended(running)
    assert datetime.fromisoformat(last.pop("at")) >= began
    assert last == {
        "number": 1,
        "outcome": "done",
        "changed": [],
        "keys_found": [],
        "keys_gone": [],
        "vaults_not_listed": {},
        "needs_restart": [],
    }
    assert len(written.in_force) == 1


@pytest.mark.parametrize("utility", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("server", "headers", "text"),
    [
        ("", "", "reloading by HTTP is not enabled"),
        ("  reload: false\n", "", "reloading by HTTP is not enabled"),
        (ON, "Origin: http://127.0.0.1:6732\r\n", "a reload is not taken from web pages"),
        (ON, "origin: null\r\n", "a reload is not taken from web pages"),
        (ON, "X-Forwarded-For: 10.0.0.1\r\n", "a reload is not taken through a proxy"),
        (ON, "Forwarded: for=10.0.0.1\r\n", "a reload is not taken through a proxy"),
        (ON, "via: 1.1 edge\r\n", "a reload is not taken through a proxy"),
        (ON, "X-Real-IP: 10.0.0.1\r\n", "a reload is not taken through a proxy"),
        (ON, "x-forwarded-proto: https\r\n", "a reload is not taken through a proxy"),
    ],
)
async def test_who_may_not_reload_is_told_why_and_nothing_is_read(
    utility: bool, method: str, server: str, headers: str, text: str
) -> None:
    written = Written()
    async with serving(server=server, source=written) as running:
        reply = await running.ask(method, "/reload", None, headers, utility=utility)
        assert (reply.status, reply.message) == (403, text)
    assert written.read_count == 0


LOCAL = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]
FOREIGN = ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "::", "", "localhost", "127.0.0.1:80"]


@pytest.mark.parametrize(
    ("source", "status"), [*((one, 202) for one in LOCAL), *((one, 403) for one in FOREIGN)]
)
async def test_only_this_machine_may_ask(source: str, status: int) -> None:
    config = Config()
    keyring = Keyring([], KeyringLimits())
    reloader = Reloader(config, Unchanged(config), lambda _: lambda: None, keyring)
    reloading = Reloading(reloader, enabled=True)
    request = cast(Any, SimpleNamespace(method="POST", headers=CIMultiDict()))
    assert (await reloading.answer(request, source)).status == status
    assert reloader.number == (status == 202)
    await reloader.close()


@pytest.mark.parametrize("utility", [False, True])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_405(utility: bool, method: str) -> None:
    async with serving(server=ON, source=Written()) as running:
        assert (await running.ask(method, "/reload", None, utility=utility)).status == 405


async def test_a_second_one_meanwhile_is_409_and_changes_nothing() -> None:
    written = Written()
    async with serving(server=ON, source=written) as running:
        written.gate.clear()
        assert (await running.ask("POST", "/reload", b"")).status == 202
        for utility in (False, True):
            reply = await running.ask("POST", "/reload", b"", utility=utility)
            assert (reply.status, reply.value) == (409, {"reload": "running", "number": 1})
        assert await state(running) == {"state": "running", "number": 1, "last": None}
        assert (await running.sign(TZ1, TRANSACTION)).status == 200  # the file is read beside the loop
        written.gate.set()
        assert (await ended(running))["number"] == 1
        assert written.read_count == 1
        assert (await reloaded(running))["number"] == 2


async def test_hangups_while_one_runs_are_one_more_that_reads_what_was_written_last() -> None:
    written = Written(ONE)
    async with serving(server=ON, source=written) as running:
        serves = asyncio.create_task(running.daemon.run_until_stopped())
        await asyncio.sleep(0)
        written.gate.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(written.begun.is_set)
        written.tezos = f"  {TZ2}: {EVERYTHING}\n"
        for _ in range(5):
            running.daemon.hangup()
        written.gate.set()
        last = await ended(running)
        assert (written.read_count, last["number"]) == (2, 2)
        assert list(running.daemon.policy.current.keys) == [TZ2]
        running.daemon.request_stop()
        await serves


async def test_a_hangup_during_the_start_is_a_reload_after_it() -> None:
    written = Written(ONE)

    class HungUp(ScriptedVault):
        async def list(self) -> Sequence[VaultKey]:
            if not self.listed:
                daemon.hangup()
            assert self.listed or not written.read_count
            return await super().list()

    vault = registration("one", HungUp(*PAIRS.values()))
    daemon = Daemon(settings(), Keyring([vault]), MemoryStore(), source=written)
    await daemon.start()
    await until(lambda: bool(written.in_force))
    assert list(daemon.policy.current.keys) == [TZ1]
    await daemon.stop()


PASSWORD = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    ("tezos", "server", "said"),
    [
        ("  tz1nonsense:\n", ON, "not a public key hash"),
        (ONE, ON + "  adress: x\n", "did you mean `address`?"),
        (f"  {TZ1}: {{allow: {{blok: }}}}\n", ON, "invalid request kind `blok` in `allow` list"),
        ("  - [\n", ON, "line"),
        (ONE, f'{ON}  jwt: {{users: {{u: {{password: "{PASSWORD}", secret: "{PASSWORD}"}}}}}}\n', "user u"),
    ],
)
async def test_a_file_that_is_wrong_leaves_the_old_one_in_force_and_says_why_without_secrets(
    tezos: str, server: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = Written(tezos, server)
    async with serving(server=ON, source=written) as running:
        before = running.daemon.policy.current
        last = await reloaded(running)
        assert (last["outcome"], set(last)) == ("refused", {"number", "at", "outcome", "error"})
        assert said in last["error"]
        assert "configuration in force stays" in caplog.text
        assert said in caplog.text
        assert PASSWORD not in caplog.text + last["error"]
        assert running.daemon.policy.current is before
        assert written.in_force == []
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        written.tezos, written.server = ONE, ON  # put right
        assert (await reloaded(running))["outcome"] == "done"


async def test_a_mistake_of_ours_is_told_by_its_type_alone() -> None:
    written = Written()
    written.failure = KeyError("a secret")
    async with serving(server=ON, source=written) as running:
        assert (await reloaded(running))["error"] == "internal error: KeyError"
        written.failure = None
        assert (await reloaded(running))["outcome"] == "done"


async def test_an_error_without_end_is_cut() -> None:
    written = Written()
    written.failure = ConfigProblemsError(Problem(("tezos", str(row)), "no") for row in range(100_000))
    async with serving(server=ON, source=written) as running:
        assert len((await reloaded(running))["error"]) < 5000


async def test_a_file_that_hangs_is_given_up_and_never_taken_over() -> None:
    written = Written(ONE)
    async with serving(server=ON, source=written) as running:
        reloader = running.daemon._reloader
        reloader._limit = 0.01
        written.gate.clear()
        assert "was not read within 0.01 s" in (await reloaded(running))["error"]
        assert "still hangs" in (await reloaded(running))["error"]
        assert written.read_count == 1  # no second thread that hangs
        written.gate.set()
        await until(lambda: reloader._reading is not None and reloader._reading.done())
        assert (await running.sign(TZ2, TRANSACTION)).status == 200
        assert written.in_force == []
        reloader._limit = 30
        assert (await reloaded(running))["outcome"] == "done"
        assert (await running.sign(TZ2, TRANSACTION)).status == 403


async def test_stopping_does_not_wait_for_a_file_that_hangs() -> None:
    written = Written(ONE)
    async with serving(server=ON, source=written) as running:
        before = running.daemon.policy.current
        written.gate.clear()
        await running.ask("POST", "/reload", b"")
        await until(written.begun.is_set)
        await running.daemon.stop()
        reloader = running.daemon._reloader
        assert not reloader.running
        assert not reloader.start()
        written.gate.set()
        await until(lambda: reloader._reading is not None and reloader._reading.done())
        for _ in range(10):
            await asyncio.sleep(0)
        assert (running.daemon.policy.current is before, written.in_force) == (True, [])


async def test_what_needs_a_restart_is_named_and_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    written = Written(server=ON + "  allow_list_known_keys: true\n  refuse_origin: true\n")
    async with serving(server=ON, source=written) as running:
        names = ["server.allow_list_known_keys", "server.refuse_origin"]
        assert sorted((await reloaded(running))["needs_restart"]) == names
        assert "Changed, but needs a restart: server." in caplog.text
        assert (await running.ask("GET", "/known_keys")).status == 403
        assert sorted((await reloaded(running))["needs_restart"]) == names  # it still does
        written.server = ON
        assert (await reloaded(running))["needs_restart"] == []
