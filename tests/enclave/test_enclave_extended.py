"""Which protocol a connection speaks, and what each of them has."""

import cbor2
import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import USUAL, Host, err, hello, refused, verifies

from signatory.crypto.curves import KeyType
from signatory.rpc.messages import GenerateAndImport, Generated, GetPublicKey, Public, RemoteError


async def test_hello_is_answered_with_a_key_and_a_nonce_of_this_connection(enclave: Enclave) -> None:
    first, second = (await Host.greet(enclave)).welcome, (await Host.greet(enclave)).welcome
    assert set(first) == {
        *("version", "nonce", "session_key", "in_flight", "frame_limit", "schemes"),
        *("reference_protocol", "release"),
    }
    assert (first["version"], first["frame_limit"], first["reference_protocol"]) == (1, 2**20, True)
    assert first["schemes"] == ["kms-encrypt-v0", "kms-gdk-v1", "kms-envelope-v1"]
    for name in ("nonce", "session_key"):
        assert len(first[name]) == 32
        assert first[name] != second[name]


@pytest.mark.parametrize(
    "body",
    [
        cbor2.dumps({"Hello": {"version": 2, "nonce": bytes(32)}}),
        cbor2.dumps({"Hello": {"version": 1, "nonce": bytes(31)}}),
        cbor2.dumps({"Hello": {"version": 1, "nonce": bytes(32), "more": 1}}),
        cbor2.dumps({"Hello": None}),
        hello(bytes(32)) + b"\0",
    ],
)
async def test_a_hello_that_is_none_of_ours_is_refused_and_never_taken_for_an_old_enclave_s_word(
    enclave: Enclave, body: bytes
) -> None:
    line = await enclave.line()
    assert "unknown variant" not in err(await line.ask_raw(body))
    assert await line.is_closed()


async def test_a_client_of_either_protocol_works_beside_the_other(enclave: Enclave) -> None:
    host, line = await Host.ready(enclave), await enclave.session()
    born = await host.make()
    made = await line.ask(GenerateAndImport(KeyType.ED25519))
    assert isinstance(made, Generated)
    assert await line.ask(GetPublicKey(0)) == Public(KeyType.ED25519, made.public)
    signed = await host.sign(born["handle"], b"m")
    assert verifies(born["name"]["public_key"], b"m", signed["Ed25519"])
    assert await host.ask("PublicKey", handle=0) != {"Ed25519": made.public}


async def test_hello_comes_first_or_never(enclave: Enclave) -> None:
    line = await enclave.session()
    assert "unknown variant `Hello`" in err(await line.ask_raw(hello(bytes(32))))
    assert "unknown variant `Hello`" in err(await line.ask_raw(hello(bytes(32))))
    host = await Host.greet(enclave)
    assert "unknown variant `Hello`" in (await refused(host.ask("Hello", version=1, nonce=bytes(32))))[0]
    host.send(hello(bytes(32)))
    assert await host.line.is_closed()


async def test_an_enclave_without_the_reference_protocol_says_so_and_hangs_up(cloud: Cloud) -> None:
    enclave = cloud.enclave(reference_protocol="off")
    for body in (cbor2.dumps({"PublicKey": 0}), b"\xff", b"", cbor2.dumps({"Initialize": {}})):
        line = await enclave.line()
        assert err(await line.ask_raw(body)) == (
            "this enclave serves the extended protocol only; the first frame must be Hello"
        )
        assert await line.is_closed()
    host = await Host.ready(enclave)
    assert host.welcome["reference_protocol"] is False
    assert (await host.make())["handle"] == 0


@pytest.mark.parametrize(
    "name",
    [
        *("Initialize", "Import", "ImportUnencrypted", "Generate", "GenerateAndImport", "SignWith"),
        *("PublicKeyFrom", "Hello", "Nonsense", ""),
    ],
)
async def test_what_the_extended_protocol_has_not_is_unknown_to_it(enclave: Enclave, name: str) -> None:
    host = await Host.ready(enclave)
    assert f"unknown variant `{name}`" in (await refused(host.ask(name)))[0]
    assert (await host.ask("Status"))["keys"] == 0


async def test_a_secret_in_the_clear_has_no_call_to_come_by(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    seed = b"\x11" * 32
    for sealed in (cbor2.dumps({"Ed25519": seed}), seed, b""):
        assert (
            "not sealed to the key of this connection"
            in (await refused(host.ask("ImportSealed", sealed=sealed, **USUAL)))[-1]
        )
    chain = await refused(host.ask("ImportSealed", sealed={"Ed25519": seed}, **USUAL))
    assert "a byte string" in chain[0]
    assert (await host.ask("Status"))["keys"] == 0


async def test_sign_attested_is_reserved(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    chain = await refused(host.ask("SignAttested", handle=0, message=b""))
    assert chain == ("SignAttested is reserved; this release does not serve it",)


async def test_before_credentials_only_what_needs_none_is_served(enclave: Enclave) -> None:
    host = await Host.greet(enclave)
    assert await refused(host.sign(0, b"m")) == ("uninitialized",)
    assert await refused(host.ask("PublicKey", handle=0)) == ("uninitialized",)
    assert await refused(host.make()) == ("uninitialized",)
    assert (await host.ask("Status"))["keys"] == 0
    assert (await host.ask("Attest", nonce=bytes(16)))["document"]


async def test_the_reference_s_client_is_told_nothing_new(enclave: Enclave) -> None:
    line = await enclave.line()
    with pytest.raises(RemoteError) as caught:
        await line.ask(GetPublicKey(0))
    assert caught.value.chain == ("uninitialized",)
