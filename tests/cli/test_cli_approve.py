"""`approve-list-svc`: whom it lets through, how it signs that, and that the daemon's hook understands it."""

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import base58
import nacl.signing
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, ip_addresses, none, recursive, sampled_from, text

from cli.approval import commands, config
from cli.approval.service import LIMITS, Service, parse
from signatory.errors import ConfigError, DeniedError, MalformedError
from signatory.hook.client import HttpHook
from signatory.hook.seam import Question
from signatory.server.connections import LimitedServer
from signatory.tezos.keys import PublicKey
from signatory.vault import Call

SECRET = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
PUBLIC = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
HASH = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
OTHER = "edpkuNVUYqMD61DyQ7N378nGCjCnQ3h2BiEsfeeY64kwKVJAJ4C9sY"
MESSAGE = bytes.fromhex("03" + "ab" * 40)
NONCE = base64.b64encode(bytes(range(32))).decode()
ALLOWED = "['192.0.2.7', 10.0.0.0/8, '2001:db8::/32', '::ffff:198.51.100.0/120']"


def asked(source: str = "192.0.2.7", **more: Any) -> bytes:
    """A question as Signatory writes it."""
    fields = {
        "request": base64.b64encode(MESSAGE).decode(),
        "source": source,
        "public_key_hash": HASH,
        "nonce": NONCE,
    }
    return json.dumps({**fields, **more}, separators=(",", ":")).encode()


def settings(folder: Path, *lines: str) -> Path:
    """A configuration on a free loopback port."""
    file = folder / "approve.yaml"
    file.write_text("\n".join(["address: 127.0.0.1:0", *lines]) + "\n")
    file.chmod(0o600)
    return file


@contextlib.asynccontextmanager
async def serving(file: Path) -> AsyncIterator[str]:
    """The service in this process; its address."""
    server = LimitedServer(Service(config.load(file)), LIMITS)  # type: ignore[arg-type]  # as the program does
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook"
    finally:
        listener.close()
        await server.stop(1.0)


async def post(address: str, body: bytes) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.post(address, data=body) as answer:
        return answer.status, await answer.read()


def payload_of(body: bytes) -> bytes:
    """The bytes of the payload as they stand in the reply, found without parsing them."""
    begin = body.index(b'{"status"')
    return body[begin : body.index(b',"signature":')]


@pytest.mark.parametrize(
    "source", ["192.0.2.7", "::ffff:192.0.2.7", "10.255.0.1", "2001:db8::1", "198.51.100.9", "2001:DB8:0::2"]
)
async def test_an_address_on_the_list_is_allowed_and_the_answer_signed(tmp_path: Path, source: str) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    async with serving(file) as address:
        status, body = await post(address, asked(source))
    reply = json.loads(body)
    assert status == 200
    assert reply["payload"] == {"status": 200, "error": "", "public_key_hash": HASH, "nonce": NONCE}
    key = nacl.signing.VerifyKey(base58.b58decode_check(PUBLIC)[4:])
    digest = hashlib.blake2b(payload_of(body), digest_size=32).digest()
    key.verify(digest, base58.b58decode_check(reply["signature"])[5:])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("192.0.2.8", "192.0.2.8"),
        ("::ffff:192.0.2.8", "192.0.2.8"),
        ("2001:db9::1", "2001:db9::1"),
        ("198.51.101.1", "198.51.101.1"),
        ("::c000:207", "::c000:207"),  # the number of 192.0.2.7, in another family
        ("127.0.0.1", "127.0.0.1"),  # who asks is not who is asked for
        ("", "<nil>"),
    ],
)
async def test_any_other_address_is_refused_in_a_signed_answer(
    tmp_path: Path, source: str, said: str
) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    async with serving(file) as address:
        status, body = await post(address, asked(source))
    reply = json.loads(body)
    assert status == reply["payload"]["status"] == 403
    assert reply["payload"]["error"] == f"address {said} is not allowed"
    key = nacl.signing.VerifyKey(base58.b58decode_check(PUBLIC)[4:])
    digest = hashlib.blake2b(payload_of(body), digest_size=32).digest()
    key.verify(digest, base58.b58decode_check(reply["signature"])[5:])


async def test_an_empty_list_refuses_everybody(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, f"private_key: {SECRET}")) as address:
        assert (await post(address, asked()))[0] == 403


async def test_without_a_key_the_status_alone_answers(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, f"list: {ALLOWED}")) as address:
        assert await post(address, asked()) == (204, b"")
        assert await post(address, asked("192.0.2.8")) == (403, b"")
        assert await post(address, asked(nonce=None)) == (204, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'"x"',
        b"[" * 100_000,
        asked() + b"x",
        asked("localhost"),
        asked("192.0.2.0/24"),
        asked("192.0.2.07"),
        asked("2001:db8::1%eth0"),
        asked("2001:db8::1%\nlevel=error"),
        asked("2001:db9::1%" + "x" * 100_000),
        asked(source=7),
        asked(nonce=""),
        asked(nonce=None),
        asked(nonce="*"),
        asked(nonce="A" * 1028),
        asked(request="*"),
        asked(request=3),
        asked(public_key_hash=[]),
        b'{"source":"192.0.2.8","nonce":"AAAA","source":"192.0.2.7"}',
    ],
)
async def test_what_is_no_question_is_400_without_a_body(tmp_path: Path, body: bytes) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    async with serving(file) as address:
        assert await post(address, body) == (400, b"")
        assert (await post(address, asked()))[0] == 200


async def test_another_method_and_a_body_that_is_too_long_are_refused(tmp_path: Path) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    async with serving(file) as address, aiohttp.ClientSession() as session:
        async with session.get(address) as answer:
            assert answer.status == 405
        async with session.post(address, data=asked(request="A" * LIMITS.body)) as answer:
            assert answer.status == 413
        async with session.post(address, data=asked(request="A" * 300_000)) as answer:
            assert answer.status == 200


values = recursive(
    none() | text(max_size=8) | sampled_from(["192.0.2.7", NONCE, HASH]),
    lambda inner: dictionaries(
        sampled_from(["request", "source", "nonce", "public_key_hash", "x"]), inner, max_size=5
    ),
    max_leaves=8,
)


@given(body=binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_question_or_malformed(body: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert parse(body, signed=True).nonce


@given(address=ip_addresses(v=4))
def test_an_ipv4_address_is_itself_however_it_is_written(address: Any) -> None:
    found = config.Approval(config.DEFAULT_ADDRESS, (config.network(str(address)),), None)
    assert found.allows(address)
    assert found.allows(parse(asked(f"::ffff:{address}"), signed=True).source)


async def ask(hook: HttpHook, source: str, message: bytes | None = MESSAGE) -> None:
    try:
        await hook.ask(Question(HASH, source, None, message), Call(request_id="t", timeout=5.0))
    finally:
        await hook.close()


@pytest.mark.parametrize("message", [MESSAGE, None])
async def test_the_daemons_hook_believes_the_signed_answers(tmp_path: Path, message: bytes | None) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    keys = (PublicKey.parse(PUBLIC),)
    async with serving(file) as address:
        await ask(HttpHook(address, keys), "10.1.2.3", message)
        with pytest.raises(DeniedError, match=r"address 192\.0\.2\.8 is not allowed"):
            await ask(HttpHook(address, keys), "192.0.2.8", message)
        with pytest.raises(DeniedError):
            await ask(HttpHook(address, (PublicKey.parse(OTHER),)), "10.1.2.3", message)


async def test_the_daemons_hook_takes_the_status_where_nothing_is_signed(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, f"list: {ALLOWED}")) as address:
        await ask(HttpHook(address, None), "10.1.2.3")
        with pytest.raises(DeniedError, match="403 Forbidden"):
            await ask(HttpHook(address, None), "192.0.2.8")


async def test_the_log_has_the_address_and_never_the_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    async with serving(file) as address:
        await post(address, asked(public_key_hash="x\ny"))
        await post(address, asked(source="secret-source"))
    told = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "192.0.2.7" in told
    for hidden in (
        MESSAGE.hex(),
        base64.b64encode(MESSAGE).decode(),
        SECRET,
        NONCE,
        "secret-source",
        "x\\ny",
    ):
        assert hidden not in told


def pems() -> Iterator[tuple[str, bytes]]:
    for name, key in (
        ("edpk", ed25519.Ed25519PrivateKey.generate()),
        ("sppk", ec.generate_private_key(ec.SECP256K1())),
        ("p2pk", ec.generate_private_key(ec.SECP256R1())),
    ):
        yield name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pub(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Path
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["approve-list-svc", "-c", str(file), "pub"])
    return commands.main(), *capsys.readouterr()


@pytest.mark.parametrize(("start", "pem"), list(pems()), ids=["ed25519", "secp256k1", "p256"])
def test_the_key_may_be_pem_in_the_file_or_beside_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    pem: bytes,
) -> None:
    (tmp_path / "key.pem").write_bytes(pem)
    within = "".join(f"  {line}\n" for line in pem.decode().splitlines())
    one = pub(capsys, monkeypatch, settings(tmp_path, f"private_key: |\n{within}"))
    two = pub(capsys, monkeypatch, settings(tmp_path, f"private_key_file: {tmp_path}/key.pem"))
    assert one == two
    assert one[1].startswith(f"Public key: {start}")


def test_pub_prints_the_key_in_base58(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = pub(capsys, monkeypatch, settings(tmp_path, f"private_key: {SECRET}"))
    assert done == (0, f"Public key: {PUBLIC}\n", "")
    done = pub(capsys, monkeypatch, settings(tmp_path))
    assert done[:2] == (1, "")
    assert done[2].startswith("Error: private key is not specified\nhint: ")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["list: 10.0.0.0/8"], "list (line 2): must be a list"),
        (["list: ['10.0.0.0/33', x, 10.0.0.1, 3]"], "list[0] (line 2): must be an address"),
        (["private_key: edsk"], "private_key: "),
        ([f"private_key: {SECRET}", "private_key_file: x"], "exclude each other"),
        (["private_key_file: /nonexistent/key"], "cannot read the private key from /nonexistent/key"),
        ([f"private_key: {PUBLIC}"], "not a secret key"),
        (["adress: 1"], "did you mean `address`?"),
        (["list: []", "list: []"], "stands here twice"),
        (["address: 192.0.2.1:0"], "the port must be from 1 to 65535"),
        (["- x"], "approve.yaml"),
    ],
)
def test_a_wrong_configuration_is_said_without_the_key(tmp_path: Path, lines: list[str], told: str) -> None:
    file = settings(tmp_path, *lines)
    if any(line.startswith("address") for line in lines):
        file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_dangerous_settings_are_warned_about(tmp_path: Path) -> None:
    file = settings(tmp_path, f"private_key: {SECRET}")
    file.write_text(file.read_text().replace("127.0.0.1:0", ":7777"))
    file.chmod(0o644)
    found = config.load(file)
    assert [text.split()[-1] for text in found.warnings] == ["o-r)", "refused", "unencrypted"]
    assert SECRET not in repr(found)


def test_the_installed_program_serves_until_a_signal(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("approve-list-svc")
    file = settings(tmp_path, f"private_key: {SECRET}", f"list: {ALLOWED}")
    process = subprocess.Popen([program, "-c", file, "serve"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert 'msg="HTTP server is listening for connections on 127.0.0.1:' in first
        port = int(first.rstrip().rstrip('"').rpartition(":")[2])
        status, body = asyncio.run(post(f"http://127.0.0.1:{port}/", asked()))
        assert (status, json.loads(body)["payload"]["error"]) == (200, "")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_an_address_that_is_taken_and_a_missing_option_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.approval.commands.log.configure", lambda *_, **__: None)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        file = settings(tmp_path)
        file.write_text(f"address: 127.0.0.1:{port}\n")
        monkeypatch.setattr("sys.argv", ["approve-list-svc", "serve", "-c", str(file)])
        assert commands.main() == 1
    assert f"Error: listen tcp 127.0.0.1:{port}: bind: " in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["approve-list-svc", "serve"])
    assert commands.main() == 1
    assert "Missing option '-c' / '--config'." in capsys.readouterr().err
