"""A parent that stands between the enclave and KMS, and between two enclaves of one image."""

import asyncio
import os
from pathlib import Path

import cbor2
import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import USUAL, Host, refused
from kms_parts import tls_server, to_recipient
from sealing_parts import changed

from signatory.nitro import strict


async def test_a_kms_of_the_parent_s_own_is_told_nothing(cloud: Cloud, tmp_path: Path) -> None:
    """It has the right name and a certificate of its own authority, and would forge every answer."""
    heard: list[bytes] = []
    forge = to_recipient(b"\x07" * 32, wrapped=b"of the parent")

    def answer(request: bytes) -> bytes:
        heard.append(request)
        forged = forge(request)
        assert isinstance(forged, bytes)
        return forged

    async with tls_server(tmp_path, answer, answer) as parent:
        host = await Host.ready(cloud.enclave(proxy=str(parent)))
        chain = ": ".join(await refused(host.make()))
    assert "did not prove who it is" in chain
    assert heard == []
    assert (await host.ask("Status"))["keys"] == 0


async def test_a_proxy_that_answers_without_tls_is_told_nothing(cloud: Cloud) -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4096))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        host = await Host.ready(cloud.enclave(proxy=f"tcp://127.0.0.1:{port}", limits={"kms_attempts": 1}))
        assert "TLS with" in ": ".join(await refused(host.make()))
    assert b"TrentService" not in heard
    assert b"Authorization" not in heard


@pytest.mark.parametrize("scheme", ["kms-gdk-v1", "kms-envelope-v1"])
@pytest.mark.parametrize("number", [12, 13, 14])
async def test_a_record_that_is_changed_where_it_is_secret_has_one_answer(
    enclave: Enclave, scheme: str, number: int
) -> None:
    """Nonce, commitment or ciphertext, first byte or last, cut or of another record: nobody learns which."""
    host = await Host.ready(enclave)
    born, other = await host.make(scheme=scheme), await host.make(scheme=scheme)
    part = cbor2.loads(born["blob"])[number]
    parts = [
        bytes([part[0] ^ 1]) + part[1:],
        part[:-1] + bytes([part[-1] ^ 0x80]),
        os.urandom(len(part)),
        cbor2.loads(other["blob"])[number],
    ]
    if number == 14:
        parts += [part[:17], part + b"\x00", part[1:]]
    chains = {
        await refused(host.load(born | {"blob": changed(born["blob"], **{f"f{number}": each})}, scheme))
        for each in parts
    }
    (chain,) = chains
    assert chain[-1] == "the sealed record does not open: it was changed, or belongs to another data key"


async def test_a_record_that_is_cut_anywhere_is_no_record_of_this_key(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make()
    for size in (0, 1, 60, len(born["blob"]) // 2, len(born["blob"]) - 1):
        chain = await refused(host.load(born | {"blob": born["blob"][:size]}))
        assert chain[-1].startswith("sealed record: ")


async def test_what_is_attested_of_births_and_of_connections_never_has_the_same_bytes_before_the_hash(
    enclave: Enclave,
) -> None:
    host = await Host.ready(enclave)
    born = await host.make()
    # A statement is a CBOR map; the transcript, HPKE's info and a checkpoint begin with texts of their own.
    assert born["statement"][0] >> 5 == 5
    tags = [b"signatory-vault/hello/v1\0", b"signatory-vault/hpke/v1\0", b"signatory-vault/checkpoint/v1\0"]
    assert all(tag[0] >> 5 == 3 for tag in tags)
    assert not any(one is not two and two.startswith(one) for one in tags for two in tags)
    assert strict.encode({1: "signatory-vault/birth/v1"})[2:] in born["statement"]


async def test_a_second_taking_of_an_imported_key_is_the_same_key_and_nothing_more(enclave: Enclave) -> None:
    """A relay may repeat what it saw, on the same connection and the same terms."""
    host = await Host.ready(enclave)
    sealed = host.seal("ImportSealed", cbor2.dumps({"Ed25519": b"\x21" * 32}))
    first, second = [await host.ask("ImportSealed", sealed=sealed, **USUAL) for _ in range(2)]
    assert first["name"] == second["name"]
    assert first["blob"] != second["blob"]
    assert "not sealed" in ": ".join(
        await refused((await Host.ready(enclave)).ask("ImportSealed", sealed=sealed, **USUAL))
    )


async def test_two_enclaves_beside_each_other_know_nothing_of_each_other_s_checkpoints(
    enclave: Enclave, other: Enclave
) -> None:
    # Not defended: what an enclave has signed is in its memory. Whoever reads checkpoints must compare them.
    one, two = await Host.ready(enclave), await Host.ready(other)
    born = await one.make(purpose="checkpoint")
    handle = (await two.load(born))["handle"]
    assert await one.ask("Checkpoint", handle=born["handle"], sequence=7, digest=bytes(32))
    assert await two.ask("Checkpoint", handle=handle, sequence=7, digest=b"\x01" * 32)
    assert "another checkpoint 7" in ": ".join(
        await refused(one.ask("Checkpoint", handle=born["handle"], sequence=7, digest=b"\x01" * 32))
    )
