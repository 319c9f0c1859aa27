"""Sessions with the real program over a unix socket, with a real software NSM and a real KMS emulator."""

import asyncio
import hashlib

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from emulators import KEY_ARN, KEY_ID, REGION
from enclave_cloud import CREDENTIALS, Cloud, Enclave

from signatory.crypto.curves import KeyType, Purpose, SigningVersion, default_purpose
from signatory.crypto.keypair import Verifier, verify_possession
from signatory.errors import SignatoryError
from signatory.rpc.messages import (
    Credentials,
    Generate,
    GenerateAndImport,
    Generated,
    GetPublicKey,
    GetPublicKeyFrom,
    Import,
    Imported,
    ImportUnencrypted,
    Initialize,
    Proof,
    ProvePossession,
    Public,
    RemoteError,
    Request,
    Sign,
    Signed,
    SignWith,
)

SEED = b"\x11" * 32
# Made by other implementations, over the message "text".
SECRETS = {
    KeyType.ED25519: (
        "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737",
        (
            "b35697c14f54d4828d8c6acd533d94bbc821af776a7f755064cfc6a87ec1b99c"
            "1e4878f741fbfd1ce44d187fb94d2cb2ccc202b1a6737c4ebc1821900fa4770e"
        ),
    ),
    KeyType.SECP256K1: (
        "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa",
        (
            "03fc8709fd92b8ddfddb902d95c5a7d8ff67384d8aa2ea08ec8ea4560b5bada5"
            "47e1f3f371e9ee90058067c5f3ca7a67745cb7e414cba671fb663600cc503a55"
        ),
    ),
    KeyType.P256: (
        "020217e617f0b6443928278f96999e69a23a4f2c152bdf6d6cdf66e5b80282d4ed",
        (
            "34f5f8dbeeb4f18cdc61f7ca084778b40301df22e280a6421c8591cdeb4f77e3"
            "f5e1f6c82a809ba8e83a8590735636b556bf4ba9b0bc2a90e6fbe6d28eb698fd"
        ),
    ),
}


async def chain(asked: object) -> tuple[str, ...]:
    """The chain of errors that a question ends with."""
    with pytest.raises(RemoteError) as caught:
        await asked  # type: ignore[misc]  # whatever is passed is awaitable
    return caught.value.chain


async def test_before_initialize_nothing_but_initialize_is_served(enclave: Enclave) -> None:
    line = await enclave.line()
    assert await line.ask_raw(bytes.fromhex("a1695075626c69634b657900")) == bytes.fromhex(
        "a163457272a2676d6573736167656d756e696e697469616c697a656466736f75726365f6"
    )
    # What cannot be decoded is refused for that, before the state is looked at, and the connection stays.
    answer = cbor2.loads(await line.ask_raw(bytes.fromhex("a16453 69676ea0")))
    assert answer == {"Err": {"message": 'Semantic(None, "missing field `handle`")', "source": None}}
    assert await line.ask_raw(b"") == cbor2.dumps(
        {
            "Err": {
                "message": 'Io(Error { kind: UnexpectedEof, message: "failed to fill whole buffer" })',
                "source": None,
            }
        }
    )
    await line.initialize()
    assert await chain(line.ask(Initialize(CREDENTIALS))) == ("already initialized",)
    assert await chain(line.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


@pytest.mark.parametrize("name", [KEY_ARN, KEY_ID])
async def test_the_sealing_key_is_named_by_arn_or_id(enclave: Enclave, name: str) -> None:
    line = await (await enclave.line()).initialize(Credentials("a", "b", None, name, REGION))
    assert await chain(line.ask(Sign(0, b""))) == ("signer error", "invalid handle")


@pytest.mark.parametrize(
    ("name", "region", "words"),
    [
        ("alias/signer", REGION, "is an alias"),
        (KEY_ARN.replace(f"key/{KEY_ID}", "alias/signer"), REGION, "is an alias"),
        (KEY_ARN.replace("1111", "2222"), REGION, "do not allow that KMS key"),
        (KEY_ARN, "us-east-1", "do not allow that KMS key in us-east-1"),
        (KEY_ARN, "x@attacker.example:443/#", "is not the name of an AWS region"),
        ("", REGION, "do not allow that KMS key"),
    ],
)
async def test_a_key_or_region_that_the_settings_do_not_allow_is_refused(
    enclave: Enclave, name: str, region: str, words: str
) -> None:
    line = await enclave.line()
    said = await chain(line.ask(Initialize(Credentials("a", "b", None, name, region))))
    assert said[0] == "initialization error"
    assert words in said[1]
    # A refused Initialize leaves the session as it was.
    assert await chain(line.ask(Sign(0, b""))) == ("uninitialized",)
    await line.initialize()


@pytest.mark.parametrize("key_type", list(KeyType))
async def test_a_generated_key_signs_now_and_in_another_enclave(
    enclave: Enclave, other: Enclave, key_type: KeyType
) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(key_type))
    assert isinstance(made, Generated)
    assert made.handle == 0
    verifier = Verifier(key_type, made.public, default_purpose(key_type))
    signed = await line.ask(Sign(0, b"before"))
    assert isinstance(signed, Signed)
    assert verifier.verify(b"before", signed.signature)
    line = await other.session()
    assert await line.ask(Import(made.blob)) == Imported(key_type, made.public, 0)
    assert await line.ask(Import(made.blob)) == Imported(key_type, made.public, 1)
    assert await line.ask(GetPublicKey(1)) == Public(key_type, made.public)
    assert await line.ask(GetPublicKeyFrom(made.blob)) == Public(key_type, made.public)
    for request in (Sign(0, b"after"), Sign(1, b"after"), SignWith(made.blob, b"after")):
        signed = await line.ask(request)
        assert isinstance(signed, Signed)
        assert verifier.verify(b"after", signed.signature)


@pytest.mark.parametrize("key_type", list(SECRETS))
async def test_an_imported_secret_signs_as_other_implementations_do(
    enclave: Enclave, key_type: KeyType
) -> None:
    line = await enclave.session()
    public, signature = (bytes.fromhex(text) for text in SECRETS[key_type])
    imported = await line.ask(ImportUnencrypted(key_type, SEED))
    assert isinstance(imported, Generated)
    assert (imported.public, imported.handle) == (public, 0)
    assert await line.ask(Sign(0, b"text")) == Signed(key_type, signature)
    assert await line.ask(SignWith(imported.blob, b"text", SigningVersion.V0)) == Signed(key_type, signature)


async def test_an_ed25519_signature_leaves_as_an_array_and_verifies_elsewhere(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.ED25519))
    assert isinstance(made, Generated)
    body = bytes.fromhex("a1645369676ea36668616e646c6500676d65737361676542010267") + b"version\x18\xff"
    answer = await line.ask_raw(body)
    assert answer.startswith(bytes.fromhex("a1624f6ba16745643235353139") + b"\x98\x40")
    signature = bytes(cbor2.loads(answer)["Ok"]["Ed25519"])
    digest = hashlib.blake2b(b"\x01\x02", digest_size=32).digest()
    Ed25519PublicKey.from_public_bytes(made.public).verify(signature, digest)


async def test_version_0_with_bls_is_an_error_and_the_session_goes_on(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.BLS))
    assert isinstance(made, Generated)
    for body in ({"Sign": [0, b"m", 0]}, {"SignWith": [made.blob, b"m", 0]}):
        answer = cbor2.loads(await line.ask_raw(cbor2.dumps(body)))
        assert answer["Err"]["message"] == "signer error"
        assert "SigningVersion0 is not supported for BLS keys" in answer["Err"]["source"]["message"]
    signed = await line.ask(Sign(0, b"m", SigningVersion.V1))
    assert isinstance(signed, Signed)
    assert Verifier(KeyType.BLS, made.public, Purpose.TEZOS).verify(b"m", signed.signature, SigningVersion.V1)


async def test_only_a_bls_key_proves_possession(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.BLS))
    await line.ask(GenerateAndImport(KeyType.P256))
    assert isinstance(made, Generated)
    proof = await line.ask(ProvePossession(0))
    assert isinstance(proof, Proof)
    assert verify_possession(made.public, proof.proof)
    refused = await chain(line.ask(ProvePossession(1)))
    assert refused == ("signer error", "Proof of possession is not supported")
    assert await chain(line.ask(ProvePossession(2))) == ("signer error", "invalid handle")


@pytest.mark.parametrize(
    ("key_type", "secret"),
    [
        (KeyType.P256, bytes(32)),
        (KeyType.SECP256K1, b"\xff" * 32),
        (KeyType.BLS, b"\xff" * 32),
        (KeyType.MLDSA44, bytes(2560)),
    ],
)
async def test_a_secret_that_is_none_is_refused(enclave: Enclave, key_type: KeyType, secret: bytes) -> None:
    line = await enclave.session()
    assert len(await chain(line.ask(ImportUnencrypted(key_type, secret)))) == 1
    assert await chain(line.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_a_generated_key_that_is_not_kept_has_no_handle(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    assert made.handle is None
    assert await chain(line.ask(GetPublicKey(0))) == ("signer error", "invalid handle")
    assert await line.ask(GetPublicKeyFrom(made.blob)) == Public(KeyType.ED25519, made.public)


async def test_sessions_do_not_share_handles(enclave: Enclave) -> None:
    first, second = await enclave.session(), await enclave.session()
    await first.ask(GenerateAndImport(KeyType.ED25519))
    assert await chain(second.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_a_session_holds_no_more_keys_than_its_limit(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"keys": 1})
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.ED25519))
    assert isinstance(made, Generated)
    assert await chain(line.ask(Import(made.blob))) == ("this session already holds 1 keys, its limit",)
    assert isinstance(await line.ask(Sign(0, b"m")), Signed)


async def test_a_blob_that_is_foreign_or_damaged_is_refused(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    for blob in (made.blob[:-1], made.blob[:-1] + bytes([made.blob[-1] ^ 1]), b"\x01", b"\x02" * 6144):
        refused = await chain(line.ask(Import(blob)))
        assert refused[:3] == ("encryption error", "SDK error", "service error")
        assert "InvalidCiphertextException" in refused[3]
    assert "CiphertextBlob" in (await chain(line.ask(Import(b""))))[-1]
    assert (await chain(line.ask(Import(b"\x01" * 6145))))[-1].endswith("6145 bytes; KMS makes at most 6144")


async def test_two_requests_in_one_write_are_answered_in_order(enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.ED25519))
    assert isinstance(made, Generated)
    bodies = [cbor2.dumps({"PublicKey": 0}), cbor2.dumps({"PublicKey": 1}), cbor2.dumps({"PublicKey": 0})]
    line.writer.write(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
    answers = [cbor2.loads(await line.read()) for _ in bodies]
    assert answers[0] == answers[2] == {"Ok": {"Ed25519": made.public}}
    assert "Err" in answers[1]


async def test_a_request_may_come_one_byte_at_a_time(enclave: Enclave) -> None:
    line = await enclave.line()
    for byte in bytes.fromhex("0000000ca1695075626c69634b657900"):
        line.writer.write(bytes([byte]))
        await line.writer.drain()
    assert cbor2.loads(await line.read())["Err"]["message"] == "uninitialized"


async def test_a_length_of_4_gib_ends_the_connection_and_costs_no_memory(enclave: Enclave) -> None:
    other = await enclave.line()
    before = enclave.memory()
    for _ in range(20):
        line = await enclave.line()
        line.writer.write(b"\xff\xff\xff\xff" + b"\x00" * 1000)
        assert "longer than the limit of 65536" in cbor2.loads(await line.read())["Err"]["message"]
        assert await line.is_closed()
    assert enclave.memory() - before < 20_000_000
    await other.initialize()


async def test_the_limit_of_a_frame_grows_with_initialize(enclave: Enclave) -> None:
    line = await enclave.session()
    message = b"\x07" * 500_000
    await line.ask(GenerateAndImport(KeyType.ED25519))
    signed = await line.ask(Sign(0, message))
    assert isinstance(signed, Signed)
    public = await line.ask(GetPublicKey(0))
    assert isinstance(public, Public)
    assert Verifier(KeyType.ED25519, public.public, Purpose.TEZOS).verify(message, signed.signature)
    line.writer.write((2**20 + 1).to_bytes(4, "big"))
    assert "longer than the limit of 1048576" in cbor2.loads(await line.read())["Err"]["message"]
    assert await line.is_closed()


@pytest.mark.parametrize("part", ["00", "000000", "0000000ca169"])
async def test_a_stream_that_ends_inside_a_frame_ends_only_its_session(enclave: Enclave, part: str) -> None:
    line = await enclave.line()
    line.writer.write(bytes.fromhex(part))
    line.writer.write_eof()
    assert await line.is_closed()
    await enclave.session()
    assert enclave.process.poll() is None


async def test_a_request_that_never_ends_is_given_up(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"read_timeout": 0.2})
    idle, slow = await enclave.session(), await enclave.line()
    slow.writer.write(bytes.fromhex("0000000ca169"))
    assert await slow.is_closed()
    assert await chain(idle.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_a_host_that_never_initialises_keeps_no_place(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"read_timeout": 0.2, "connections": 2})
    silent, asking = await enclave.line(), await enclave.line()
    assert await chain(asking.ask(GetPublicKey(0))) == ("uninitialized",)
    assert await silent.is_closed()
    assert await asking.is_closed()
    assert await chain((await enclave.session()).ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_a_connection_too_many_is_closed_and_a_free_place_is_given_again(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"connections": 2})
    first, second = await enclave.session(), await enclave.session()
    third = await enclave.line()
    assert await third.is_closed()
    second.close()
    async with asyncio.timeout(30):
        while True:
            try:
                await (await enclave.line()).initialize()
                break
            except (ConnectionError, EOFError):
                continue
    assert await chain(first.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_garbage_is_answered_and_the_session_goes_on(enclave: Enclave) -> None:
    line = await enclave.session()
    for body in ("ff", "00", "f6", "81" * 500, "bf", "c0", "a1a0a0", "1bffffffffffffffff", "d9d9f7"):
        assert "Err" in cbor2.loads(await line.ask_raw(bytes.fromhex(body)))
    assert await chain(line.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


# What KMS and the NSM may do.


async def test_a_wrong_pcr0_in_the_policy_is_refused_and_the_error_says_the_right_one(
    cloud: Cloud, enclave: Enclave
) -> None:
    line = await enclave.session()
    made = await line.ask(GenerateAndImport(KeyType.ED25519))
    assert isinstance(made, Generated)
    cloud.set_policy(StringEqualsIgnoreCase={"kms:RecipientAttestation:PCR0": "ab" * 48})
    refused = await chain(line.ask(Import(made.blob)))
    assert refused[3].startswith("AccessDeniedException: ")
    pcr0 = refused[4].removeprefix("PCR0 of this enclave is ").partition(";")[0]
    assert isinstance(await line.ask(Sign(0, b"still")), Signed)
    cloud.set_policy(StringEqualsIgnoreCase={"kms:RecipientAttestation:PCR0": pcr0})
    assert isinstance(await line.ask(Import(made.blob)), Imported)


async def test_throttling_is_waited_out_and_a_refusal_is_not_repeated(cloud: Cloud, enclave: Enclave) -> None:
    line = await enclave.session()
    cloud.tell("kms", do="fail", operation="Encrypt", error="ThrottlingException", times=2)
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    cloud.tell("kms", do="fail", operation="Decrypt", error="KMSInternalException", times=1)
    assert isinstance(await line.ask(Import(made.blob)), Imported)
    cloud.tell("kms", do="fail", operation="Decrypt", error="ExpiredTokenException", times=1)
    before = cloud.calls("kms", "Decrypt")
    refused = await chain(line.ask(Import(made.blob)))
    assert refused[3].startswith("ExpiredTokenException")
    assert cloud.calls("kms", "Decrypt") == before + 1


async def test_tries_come_to_an_end(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"kms_attempts": 2})
    line = await enclave.session()
    before = cloud.calls("kms", "Encrypt")
    cloud.tell("kms", do="fail", operation="Encrypt", error="ThrottlingException", times=3)
    refused = await chain(line.ask(Generate(KeyType.ED25519)))
    assert refused[3].startswith("ThrottlingException")
    assert cloud.calls("kms", "Encrypt") == before + 2


async def test_a_slow_kms_is_given_up(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"kms_timeout": 0.3})
    line = await enclave.session()
    cloud.tell("kms", do="delay", operation="Encrypt", seconds=2)
    refused = await chain(line.ask(Generate(KeyType.ED25519)))
    assert refused[2:] == ("dispatch failure", "kms.localhost did not answer within 0.3 s")
    assert isinstance(await line.ask(Generate(KeyType.ED25519)), Generated)


async def test_an_answer_in_clear_is_refused(cloud: Cloud, enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    cloud.tell("kms", do="plaintext", operation="Decrypt", times=1)
    refused = await chain(line.ask(Import(made.blob)))
    assert refused[0] == "encryption error"
    assert "CiphertextForRecipient" in refused[1]
    assert await chain(line.ask(GetPublicKey(0))) == ("signer error", "invalid handle")


async def test_wrong_credentials_are_kms_s_to_refuse(enclave: Enclave) -> None:
    line = await (await enclave.line()).initialize(
        Credentials("AKIDEXAMPLE", "wrong", "a-session-token", KEY_ARN, REGION)
    )
    assert "InvalidSignatureException" in (await chain(line.ask(Generate(KeyType.ED25519))))[3]
    line = await (await enclave.line()).initialize(Credentials("", "", None, KEY_ARN, REGION))
    assert "access key id" in (await chain(line.ask(Generate(KeyType.ED25519))))[0]


async def test_every_import_brings_a_fresh_document_and_a_fresh_key(cloud: Cloud, enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    before = cloud.calls("nsm", "Attestation")
    for _ in range(4):
        await line.ask(Import(made.blob))
    assert cloud.calls("nsm", "Attestation") == before + 4


async def test_a_module_that_gives_no_document_is_named(cloud: Cloud, enclave: Enclave) -> None:
    line = await enclave.session()
    made = await line.ask(Generate(KeyType.ED25519))
    assert isinstance(made, Generated)
    cloud.tell("nsm", do="fail", operation="Attestation", error="InternalError", times=1)
    refused = await chain(line.ask(Import(made.blob)))
    assert refused[:2] == ("encryption error", "attestation error")
    assert "InternalError" in refused[2]


@pytest.mark.parametrize("command", [{"do": "fail", "error": "InternalError"}, {"do": "short", "size": 1}])
async def test_without_entropy_no_key_is_made(
    cloud: Cloud, enclave: Enclave, command: dict[str, object]
) -> None:
    line = await enclave.session()
    before = cloud.calls("kms", "Encrypt")
    cloud.tell("nsm", **command)
    assert (await chain(line.ask(GenerateAndImport(KeyType.ED25519))))[0] == "encryption error"
    assert cloud.calls("kms", "Encrypt") == before
    assert isinstance(await line.ask(GenerateAndImport(KeyType.ED25519)), Generated)


@pytest.mark.parametrize(
    "request_", [Sign(0, b"m"), Import(b"\x01"), Generate(KeyType.BLS)], ids=["sign", "import", "generate"]
)
async def test_a_host_that_hangs_up_mid_call_leaves_the_rest_alone(
    cloud: Cloud, enclave: Enclave, request_: Request
) -> None:
    cloud.tell("kms", do="delay", operation="*", seconds=0.2)
    line = await enclave.session()
    asked = asyncio.create_task(line.ask(request_))
    await asyncio.sleep(0)
    line.writer.transport.abort()
    with pytest.raises((EOFError, OSError, SignatoryError)):
        await asked
    assert isinstance(await (await enclave.session()).ask(Generate(KeyType.ED25519)), Generated)
    assert enclave.process.poll() is None
