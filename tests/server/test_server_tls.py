"""TLS on a listener: which clients get in, what happens to slow ones, and certificates that change."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from serving import TRANSACTION, TZ1, Client, serving
from tls_files import DAY, NOW, Authority, Pair, trusting
from waiting import until

from signatory.config.server import TlsConfig
from signatory.errors import ConfigError
from signatory.limits import Limits
from signatory.server.answers import TEXT, Answer
from signatory.server.connections import LimitedServer, connection_of
from signatory.server.requests import read_body
from signatory.server.tls import TlsFiles

CA, OTHER_CA = Authority("ours"), Authority("theirs")
SERVER = CA.issue("server", "server")
HELLO_OF_NOBODY = b"\x16\x03\x01\x00\x20\x01\x00\x00\x1c" + b"\xff" * 28
QUICK = Limits(read=0.3, write=0.05, request=0.05, linger=0.05, drain=0.05)


@dataclass
class Secured:
    """A listener and the files it was started with."""

    server: LimitedServer
    port: int
    folder: Path
    clients: list[Client]

    async def client(self, context: ssl.SSLContext | None = None) -> Client:
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=context or trusting(CA))
        client = Client(*streams)
        self.clients.append(client)
        return client

    async def bare(self) -> Client:
        """A TCP connection that says nothing of TLS."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def status(self, context: ssl.SSLContext | None = None) -> int:
        return (await (await self.client(context)).ask("GET", "/")).status

    async def handshakes(self, count: int) -> None:
        """Wait until so many are under way."""
        await until(lambda: len(self.server.opening) == count)


def files(folder: Path, pair: Pair = SERVER, *, client_ca: bytes | None = None) -> TlsFiles:
    certificate, key = pair.write(folder, "server")
    authorities = None
    if client_ca is not None:
        authorities = folder / "clients.pem"
        authorities.write_bytes(client_ca)
    return TlsFiles(TlsConfig(certificate=certificate, key=key, client_ca=authorities))


@contextlib.asynccontextmanager
async def secured(
    folder: Path, limits: Limits | None = None, *, client_ca: bytes | None = None
) -> AsyncIterator[Secured]:
    chosen = limits or Limits(linger=0.05, drain=0.05)

    async def answer(request: web.BaseRequest) -> Answer:
        body = await read_body(request, chosen)
        connection_of(request).request_is_whole()
        connection_of(request).request_is_answered()
        return Answer(200, body, TEXT)

    server = LimitedServer(answer, chosen, tls=files(folder, client_ca=client_ca).context())
    listener = await asyncio.get_running_loop().create_server(server.entrance, "127.0.0.1", 0)
    running = Secured(server, listener.sockets[0].getsockname()[1], folder, [])
    try:
        yield running
    finally:
        listener.close()
        for client in running.clients:
            await client.close()
        await server.stop(chosen.drain)


def shown(client: Client) -> int:
    """The serial number of the certificate that the server showed."""
    certificate: dict[str, Any] = client.writer.get_extra_info("peercert")
    return int(certificate["serialNumber"], 16)


def gone(wire: asyncio.Transport | None) -> bool:
    """Whether the server has closed its socket."""
    return wire is not None and wire.get_extra_info("socket").fileno() == -1


async def refused(running: Secured, context: ssl.SSLContext) -> bool:
    """Whether such a client gets no answer: with TLS 1.3 it learns only after its own handshake."""
    try:
        client = await running.client(context)
        await client.ask("GET", "/")
    except (OSError, asyncio.IncompleteReadError):
        return True
    return False


async def test_a_request_is_answered_over_tls(tmp_path: Path) -> None:
    async with secured(tmp_path) as running:
        client = await running.client()
        for size in (1, 100_000):
            reply = await client.ask("POST", "/", b"x" * size)
            assert (reply.status, len(reply.body)) == (200, size)
        tls = client.writer.get_extra_info("ssl_object")
        assert (tls.version(), tls.compression()) == ("TLSv1.3", None)
        (connection,) = running.server._own()
        assert connection.writing_since is None  # a client that read everything is not a slow one


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken_with_forward_secrecy_and_http_1_1(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = trusting(CA)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with secured(tmp_path) as running:
        tls = (await running.client(context)).writer.get_extra_info("ssl_object")
    name = tls.cipher()[0]
    assert tls.selected_alpn_protocol() == "http/1.1"
    assert name.startswith("ECDHE-") if version is ssl.TLSVersion.TLSv1_2 else name.startswith("TLS_")
    assert "GCM" in name or "CHACHA20" in name


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_older_tls_is_refused(tmp_path: Path, version: str) -> None:
    context = trusting(CA)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion[version]
    async with secured(tmp_path) as running:
        assert await refused(running, context)
        old.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
        running.server.tls = old
        assert not await refused(running, context)  # it was not for the client that it failed
    assert files(tmp_path).context().minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_cipher_without_forward_secrecy_is_refused(tmp_path: Path) -> None:
    context = trusting(CA)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:AES128-SHA256")
    async with secured(tmp_path) as running:
        assert await refused(running, context)


async def test_only_clients_of_the_authority_get_in(tmp_path: Path) -> None:
    shown_by = {
        "right": CA.issue("client", "client"),
        "other authority": OTHER_CA.issue("client", "client"),
        "expired": CA.issue("client", "client", NOW - 3 * DAY, NOW - DAY),
        "not yet": CA.issue("client", "client", NOW + DAY, NOW + 2 * DAY),
        "a server's": CA.issue("client", "server"),
    }
    async with secured(tmp_path, client_ca=CA.pem) as running:
        for name, pair in shown_by.items():
            context = trusting(CA, pair.write(tmp_path, name))
            assert await refused(running, context) is (name != "right"), name
        assert await refused(running, trusting(CA))
        assert not running.server.opening


async def test_a_certificate_that_stands_in_the_file_is_trusted_root_or_not(tmp_path: Path) -> None:
    listed, other = CA.issue("listed", "client"), CA.issue("other", "client")
    async with secured(tmp_path, client_ca=listed.pem) as running:
        assert not await refused(running, trusting(CA, listed.write(tmp_path, "listed")))
        assert await refused(running, trusting(CA, other.write(tmp_path, "other")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_without_certificate_cannot_resume_what_another_began(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = trusting(CA, CA.issue("client", "client").write(tmp_path, "client"))
    context.minimum_version = context.maximum_version = version
    async with secured(tmp_path, client_ca=CA.pem) as running:
        client = await running.client(context)
        await client.ask("GET", "/")
        session = client.writer.get_extra_info("ssl_object").session
        assert session is None or not session.has_ticket


async def test_a_new_certificate_is_shown_to_new_clients_and_old_ones_go_on(tmp_path: Path) -> None:
    renewed = CA.issue("server", "server")
    async with secured(tmp_path) as running:
        old = await running.client()
        running.server.tls = files(tmp_path, renewed).context()
        new = await running.client()
        assert [shown(old), shown(new)] == [
            SERVER.certificate.serial_number,
            renewed.certificate.serial_number,
        ]
        for client in (old, new, old):
            assert (await client.ask("GET", "/")).status == 200


async def test_the_daemon_speaks_tls_on_the_main_listener_only(tmp_path: Path) -> None:
    config = files(tmp_path).config
    section = f"  tls: {{certificate: {config.certificate}, key: {config.key}}}\n"
    async with serving(server=section) as running:
        place = running.daemon.addresses[0]
        client = Client(*await asyncio.open_connection(place.host, place.port, ssl=trusting(CA)))
        running.clients.append(client)
        body = json.dumps(TRANSACTION.hex()).encode()
        assert (await client.ask("POST", f"/keys/{TZ1}", body)).status == 200
        assert (await running.ask("GET", "/healthz", utility=True)).status == 200
        plain = await running.client()
        await plain.send(b"GET /authorized_keys HTTP/1.1\r\nHost: t\r\n\r\n")
        assert b"HTTP" not in await plain.closed()


async def test_an_authority_that_is_taken_out_lets_nobody_new_in(tmp_path: Path) -> None:
    ours = trusting(CA, CA.issue("a", "client").write(tmp_path, "a"))
    theirs = trusting(CA, OTHER_CA.issue("b", "client").write(tmp_path, "b"))
    async with secured(tmp_path, client_ca=CA.pem + OTHER_CA.pem) as running:
        before = await running.client(theirs)
        assert (await before.ask("GET", "/")).status == 200
        session = before.writer.get_extra_info("ssl_object").session
        running.server.tls = files(tmp_path, client_ca=CA.pem).context()
        assert await refused(running, theirs)
        assert session is None or not session.has_ticket
        assert not await refused(running, ours)
        assert (await before.ask("GET", "/")).status == 200


async def test_an_unusable_file_leaves_the_old_certificate_in_force(tmp_path: Path) -> None:
    async with secured(tmp_path) as running:
        (tmp_path / "server.pem").write_bytes(CA.issue("server", "server").pem)
        config = TlsConfig(certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
        with pytest.raises(ConfigError, match="is not the key of"):
            running.server.tls = TlsFiles(config).context()
        client = await running.client()
        assert shown(client) == SERVER.certificate.serial_number


async def test_a_handshake_that_never_ends_is_cut(tmp_path: Path) -> None:
    async with secured(tmp_path, QUICK) as running:
        silent, begun = await running.bare(), await running.bare()
        await begun.send(b"\x16\x03\x01\x02\x00\x01")
        assert [await silent.closed(), await begun.closed()] == [b"", b""]
        assert not running.server.opening
        assert await running.status() == 200


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", b"\x00" * 64, HELLO_OF_NOBODY])
async def test_what_is_not_tls_gets_no_answer_and_harms_nobody(tmp_path: Path, data: bytes) -> None:
    async with secured(tmp_path) as running:
        client = await running.bare()
        await client.send(data)
        answer = await client.closed()
        assert answer == b"" or answer[0] == 0x15  # nothing, or an alert
        assert await running.status() == 200
        assert not running.server.opening


async def test_a_client_that_goes_within_its_handshake_is_forgotten(tmp_path: Path) -> None:
    async with secured(tmp_path) as running:
        gentle, rude = await running.bare(), await running.bare()
        await running.handshakes(2)
        await gentle.close()
        rude.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        rude.writer.transport.abort()
        await running.handshakes(0)
        assert await running.status() == 200


async def test_handshakes_under_way_count_and_the_oldest_gives_way(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(connections=4, linger=0.05, drain=0.05)) as running:
        silent = []
        for number in range(4):
            silent.append(await running.bare())
            await running.handshakes(number + 1)
        assert await running.status() == 200
        assert await silent[0].closed() == b""
        assert len(running.server.opening) + len(running.server._connections) <= 4
        crowd = await asyncio.gather(*[running.bare() for _ in range(60)])
        for client in (*silent, *crowd[:-10]):
            assert await client.closed() == b""
        assert len(running.server.opening) <= 4


async def test_a_client_that_says_nothing_costs_little_memory(tmp_path: Path) -> None:
    async with secured(tmp_path) as running:
        assert await running.status() == 200  # what is made once is made
        tracemalloc.start()
        try:
            for number in range(64):
                await running.bare()
                await running.handshakes(number + 1)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert taken < 64 * 64 * 1024


async def test_a_long_request_over_tls_arrives_whole(tmp_path: Path) -> None:
    body = bytes(range(256)) * 2000
    async with secured(tmp_path) as running:
        assert (await (await running.client()).ask("POST", "/", body)).body == body


async def test_an_idle_client_gives_way_to_a_new_one_without_saying_goodbye(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(connections=2, linger=30.0, drain=0.05)) as running:
        quiet = [await running.client(), await running.client()]
        for client in quiet:
            client.writer.transport.pause_reading()  # it would never answer the server's goodbye
        assert await running.status() == 200
        await until(lambda: len(running.server._connections) <= 2)
        quiet[0].writer.transport.resume_reading()
        assert await quiet[0].closed() == b""
        for client in quiet:
            client.writer.transport.abort()


async def test_headers_that_never_end_are_cut_over_tls_too(tmp_path: Path) -> None:
    async with secured(tmp_path, QUICK) as running:
        client = await running.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nX-A:")
        assert (await client.closed()).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_reads_nothing_is_cut_over_tls_too(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(write=0.05, linger=0.05, drain=0.05)) as running:
        client = await running.client()
        await client.ask("GET", "/")
        client.writer.transport.pause_reading()
        body = b"x" * 400_000
        head = f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        client.writer.write((head + body) * 40)
        await until(lambda: not running.server._connections)
        client.writer.transport.abort()


async def test_a_connection_that_says_nothing_after_its_handshake_ends_after_the_idle_time(
    tmp_path: Path,
) -> None:
    async with secured(tmp_path, Limits(idle=0.05, linger=0.05, drain=0.05)) as running:
        client = await running.client()
        assert await client.closed() == b""


async def test_a_request_that_comes_along_with_the_end_of_the_handshake_is_answered(tmp_path: Path) -> None:
    """A client of TLS 1.3 may send at once; both then arrive in one piece."""
    async with secured(tmp_path) as running:
        client = await running.bare()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(CA).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await client.send(outgoing.read())
                incoming.write(await client.reader.read(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        await client.send(outgoing.read())
        received = b""
        while b"\r\n\r\n" not in received:
            incoming.write(await client.reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                received += tls.read(65536)
        assert received.startswith(b"HTTP/1.1 200 ")


async def test_stopping_ends_handshakes_and_idle_clients_at_once(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(read=60.0, linger=60.0, drain=0.05)) as running:
        silent, idle = await running.bare(), await running.client()
        await idle.ask("GET", "/")
        await running.handshakes(1)
        wire = running.server._own()[0].wire
        idle.writer.transport.pause_reading()  # it would never answer the server's goodbye
        await running.server.stop(0.05)
        assert await silent.closed() == b""
        await until(lambda: gone(wire))
        idle.writer.transport.resume_reading()
        assert await idle.closed() == b""


async def test_a_client_that_never_says_goodbye_is_left_after_the_linger_time(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(idle=0.05, linger=0.05, drain=0.05)) as running:
        client = await running.client()
        await client.ask("GET", "/")
        client.writer.transport.pause_reading()
        wire = running.server._own()[0].wire
        async with asyncio.timeout(10):  # asyncio's own patience is 30 s
            await until(lambda: gone(wire))
        client.writer.transport.abort()


def broken(folder: Path, **content: bytes | None) -> TlsFiles:
    """Files of which some hold something else, or (None) are not there."""
    config = files(folder, client_ca=CA.pem).config
    for name, data in content.items():
        path: Path = getattr(config, name)
        path.unlink()
        if data is not None:
            path.write_bytes(data)
    return TlsFiles(config)


RSA_1024 = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to see it refused


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"certificate": None}, r"cannot read .*server\.pem: No such file"),
        ({"key": None}, r"cannot read .*server\.key: No such file"),
        ({"client_ca": None}, r"cannot read .*clients\.pem: No such file"),
        ({"certificate": b""}, r"server\.pem has no certificate in PEM"),
        (
            {"certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "no certificate",
        ),
        ({"certificate": SERVER.key_pem()}, r"server\.pem has no certificate in PEM"),
        ({"client_ca": b"nothing"}, r"clients\.pem has no certificate in PEM"),
        ({"key": b""}, r"server\.key is not a private key in PEM"),
        ({"key": SERVER.pem}, r"server\.key is not a private key in PEM"),
        ({"key": SERVER.key_pem(b"secret")}, r"has a password"),
        ({"key": CA.own.key_pem()}, r"server\.key is not the key of .*server\.pem"),
        ({"certificate": CA.pem + SERVER.pem}, r"is not the key of"),
        ({"certificate": b"x" * (1024 * 1024 + 1)}, r"is longer than 1048576 bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        broken(tmp_path, **content).context()
    assert "secret" not in str(caught.value)


def test_a_certificate_that_no_client_accepts_is_an_error(tmp_path: Path) -> None:
    found = files(tmp_path)
    with pytest.raises(ConfigError, match="expired on"):
        found.context(NOW + 31 * DAY)
    with pytest.raises(ConfigError, match="is not valid before"):
        found.context(NOW - 2 * DAY)


def test_a_certificate_is_announced_when_a_fifth_of_its_life_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = files(tmp_path)
    found.context(NOW + 20 * DAY)
    assert not caplog.records
    found.context(NOW + 29 * DAY)
    assert ["server.pem expires on" in record.getMessage() for record in caplog.records] == [True]


def test_an_expired_authority_and_an_open_key_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = files(tmp_path, client_ca=CA.issue("old", "client", NOW - 3 * DAY, NOW - DAY).pem)
    found.config.key.chmod(0o644)
    found.context()
    key, authority = (record.getMessage() for record in caplog.records)
    assert "server.key can be read by everybody" in key
    assert "clients.pem: not valid now: CN=old" in authority


def test_a_key_too_short_for_tls_is_refused(tmp_path: Path) -> None:
    builder = x509.CertificateBuilder(
        subject_name=CA.name,
        issuer_name=CA.name,
        public_key=RSA_1024.public_key(),
        serial_number=1,
        not_valid_before=NOW - DAY,
        not_valid_after=NOW + DAY,
    )
    short = builder.sign(CA.own.key, SERVER.certificate.signature_hash_algorithm)
    pem = RSA_1024.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="ee key too small"):
        broken(tmp_path, certificate=short.public_bytes(Encoding.PEM), key=pem).context()


def test_a_pipe_or_a_folder_in_place_of_a_file_does_not_hang_the_start(tmp_path: Path) -> None:
    found = files(tmp_path)
    found.config.key.unlink()
    os.mkfifo(found.config.key)
    with pytest.raises(ConfigError, match="is not a file"):
        found.context()
    found.config.key.unlink()
    found.config.key.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        found.context()
