"""The daemon as a process: signals, addresses that are taken, what an unfinished start leaves."""

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

import pytest
from serving import EVERYTHING, PAIRS, TRANSACTION, TZ1, TZ2, ScriptedVault, registration, serving, settings

from signatory.crypto.curves import KeyType
from signatory.errors import ConfigError, UnavailableError
from signatory.keyring import Keyring
from signatory.server.daemon import Daemon
from signatory.tezos.keys import PublicKey
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore

EVERY = f"  {TZ1}: {EVERYTHING}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_daemon_and_closes_everything(number: signal.Signals) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault) as running:
        task = asyncio.create_task(running.daemon.run_until_stopped())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await task
        place = running.daemon.addresses[0]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(place.host, place.port)
    assert vault.closed == 1


async def test_a_hangup_lists_the_keys_again() -> None:
    vault = ScriptedVault()
    async with serving(vault) as running:
        task = asyncio.create_task(running.daemon.run_until_stopped())
        await asyncio.sleep(0)
        vault.pairs[TZ1] = PAIRS[KeyType.ED25519]
        os.kill(os.getpid(), signal.SIGHUP)
        while running.keyring.get(TZ1) is None:  # noqa: ASYNC110 - a signal has no event
            await asyncio.sleep(0)
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        running.daemon.request_stop()
        await task


async def test_an_address_that_is_taken_is_said_as_the_reference_says_it_and_lets_everything_go(
    tmp_path: Path,
) -> None:
    vault = ScriptedVault()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = settings(server=f'  address: "127.0.0.1:{port}"')
        daemon = Daemon(config, Keyring([registration("one", vault)]), FileStore(tmp_path))
        with pytest.raises(
            UnavailableError, match=f"^listen tcp 127.0.0.1:{port}: bind: address already in use$"
        ):
            await daemon.start()
    assert vault.closed == 1
    store = FileStore(tmp_path)  # its lock is free again
    await store.open()
    await store.close()


async def test_a_host_without_an_address_is_said_without_a_traceback() -> None:
    daemon = Daemon(settings(server='  address: "no-such-host.invalid:1"'), Keyring([]), MemoryStore())
    with pytest.raises(UnavailableError, match=r"^listen tcp no-such-host\.invalid:1: [a-z]"):
        await daemon.start()


async def test_the_hook_of_the_configuration_is_asked_and_closed_in_the_end() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with serving(tezos=f"{EVERY}policy_hook: {{address: 'http://127.0.0.1:{port}/hook'}}\n") as running:
        reply = await running.sign(TZ1, TRANSACTION)
        assert (reply.status, reply.message) == (403, "policy hook: 403 Forbidden")
    server.close()
    assert asked[0].startswith(b"POST /hook HTTP/1.1\r\n")
    with pytest.raises(UnavailableError, match="the daemon is stopping"):
        running.daemon._own_hook._opened()  # type: ignore[union-attr]


async def test_tls_files_that_cannot_be_used_stop_the_start_before_anything_is_opened(tmp_path: Path) -> None:
    vault = ScriptedVault()
    config = settings(server=f"  tls: {{certificate: {tmp_path}/none.pem, key: {tmp_path}/none.key}}")
    daemon = Daemon(config, Keyring([registration("one", vault)]), FileStore(tmp_path / "base"))
    with pytest.raises(ConfigError, match=r"^cannot read .*none\.pem: No such file"):
        await daemon.start()
    assert vault.opened == 0
    assert not (tmp_path / "base").exists()


async def test_a_vault_that_does_not_close_is_named_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(ScriptedVault):
        async def close(self) -> None:
            raise UnavailableError("the enclave is gone", hint="look at it")

    async with serving(Stuck(), ScriptedVault()):
        pass
    assert "Vault did not close cleanly: the enclave is gone; look at it" in caplog.messages


async def test_the_start_says_which_clients_are_authorized(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keys = [PublicKey(pair.type, pair.public) for pair in PAIRS.values()][:2]
    async with serving(server=f"  authorized_keys: [{keys[0].text}, {keys[1].text}]"):
        assert f"Authorized keys: [{TZ1} {TZ2}]" in caplog.messages
    caplog.clear()
    async with serving():
        assert "Authorized keys" not in caplog.text


async def test_an_empty_host_listens_on_every_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = settings(server=f'  address: ":{port}"')
    daemon = Daemon(config, Keyring([]), MemoryStore())
    await daemon.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    await daemon.stop()
    await daemon.stop()
