"""Keys that are brought: encrypted to the connection, or not taken."""

import hashlib

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from emulators import ACCESS
from enclave_cloud import Cloud, Enclave
from enclave_host import SEED, USUAL, Host, refused


async def test_an_imported_key_signs_as_another_implementation_does(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.bring("Ed25519", SEED)
    theirs = Ed25519PrivateKey.from_private_bytes(SEED)
    assert born["name"]["public_key"] == theirs.public_key().public_bytes_raw()
    digest = hashlib.blake2b(b"text", digest_size=32).digest()
    assert await host.sign(born["handle"], b"text") == {"Ed25519": theirs.sign(digest)}
    raw = await host.bring("Ed25519", SEED, purpose="raw")
    assert await host.sign(raw["handle"], b"text") == {"Ed25519": theirs.sign(b"text")}


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        cbor2.dumps(SEED),
        cbor2.dumps({"Ed25519": SEED + b"\0"}),
        cbor2.dumps({"Ed25519": SEED, "Bls": SEED}),
        cbor2.dumps({SEED.hex(): 1}),
        cbor2.dumps({"Ed25519": SEED}) + b"\0",
    ],
)
async def test_a_secret_that_is_none_is_refused_and_not_repeated(enclave: Enclave, plaintext: bytes) -> None:
    host = await Host.ready(enclave)
    sealed = host.seal("ImportSealed", plaintext)
    chain = await refused(host.ask("ImportSealed", sealed=sealed, **USUAL))
    assert chain[0] == "deserialization error"
    assert SEED.hex() not in chain[1]
    assert (await host.ask("Status"))["keys"] == 0


@pytest.mark.parametrize(
    "changed",
    [{"purpose": "raw"}, {"user_id": "mallory"}, {"scheme": "kms-envelope-v1"}, {"nonce": bytes(16)}],
)
async def test_terms_that_somebody_changed_on_the_way_take_no_key(
    enclave: Enclave, changed: dict[str, object]
) -> None:
    host = await Host.ready(enclave)
    sealed = host.seal("ImportSealed", cbor2.dumps({"Ed25519": SEED}))
    chain = await refused(host.ask("ImportSealed", sealed=sealed, **USUAL | changed))
    assert "was not sealed to the key of this connection, for this use" in chain[-1]
    assert (await host.ask("Status"))["keys"] == 0


@pytest.mark.parametrize(
    ("key_type", "secret", "changed"),
    [
        ("NistP256", bytes(32), {}),
        ("Secp256k1", b"\xff" * 32, {}),
        ("Bls", b"\xff" * 32, {}),
        ("MlDsa65", SEED, {"purpose": "tezos"}),
        ("Ed25519", SEED, {"scheme": "kms-encrypt-v0", "purpose": "raw"}),
        ("Ed25519", SEED, {"scheme": "kms-encrypt-v0", "user_id": "tenant-1"}),
        ("Ed25519", SEED, {"purpose": "checkpoint"}),
    ],
)
async def test_a_key_that_cannot_be_what_it_should_is_refused(
    cloud: Cloud, enclave: Enclave, key_type: str, secret: bytes, changed: dict[str, str]
) -> None:
    host = await Host.ready(enclave)
    before = [cloud.calls("kms", operation) for operation in ("Encrypt", "GenerateDataKey")]
    assert await refused(host.bring(key_type, secret, **changed))
    assert [cloud.calls("kms", operation) for operation in ("Encrypt", "GenerateDataKey")] == before
    assert (await host.ask("Status"))["keys"] == 0


async def test_a_session_holds_no_more_keys_than_its_limit(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"keys": 1})
    host = await Host.ready(enclave)
    born = await host.make()
    before = cloud.calls("kms", "GenerateDataKey")
    full = ("this session already holds 1 keys, its limit",)
    assert await refused(host.make()) == full
    assert await refused(host.bring("Ed25519", SEED)) == full
    assert await refused(host.load(born)) == full
    assert cloud.calls("kms", "GenerateDataKey") == before
    assert await host.sign(0, b"m")


async def test_no_secret_is_on_its_output_or_in_its_refusals(cloud: Cloud) -> None:
    enclave = cloud.enclave()
    host = await Host.ready(enclave)
    seed = bytes(range(100, 132))
    born = await host.bring("Ed25519", seed)
    said = [
        await refused(host.bring("Ed25519", seed, purpose="checkpoint")),
        await refused(host.bring("Bls", b"\xff" * 16 + seed[:16])),
        await refused(host.ask("Sign", handle=0, message=seed.hex(), version=255)),
        await refused(host.ask("Import", secret=seed)),
        await refused(host.load(born, key_id=ACCESS.secret_access_key)),
        await refused(host.renew(secret_access_key="x" * 5000)),
    ]
    host.send(cbor2.dumps({"Ed25519": seed}))
    assert await host.line.is_closed()
    other = await Host.ready(enclave)
    other.line.writer.write(b"\xff\xff\xff\xff" + seed)
    assert await other.line.is_closed()
    _, output, errors = enclave.process.stop()
    assert "a frame has no id that can be read" in errors
    everything = output + errors + repr(said)
    for secret in (seed.hex(), repr(seed)[2:-1], ACCESS.secret_access_key, str(ACCESS.session_token)):
        assert secret not in everything
