"""How a host knows whom it talks to, and how its credentials come to nobody else."""

import os

import cbor2
import pytest
from emulators import ACCESS, KEY_ARN, KEY_ID
from enclave_cloud import Cloud, Enclave
from enclave_host import CREDENTIALS, SEED, USUAL, Host, hpke_seal, refused, root

from signatory.errors import IntegrityError
from signatory.nitro import attestation
from signatory.nitro.attestation import Document, verify


async def attested(cloud: Cloud, host: Host) -> Document:
    """The verified document over the connection as the host sees it. Raises AttestationError."""
    nonce = os.urandom(32)
    document = (await host.ask("Attest", nonce=nonce))["document"]
    return verify(
        document,
        root_sha256=root(cloud),
        nonce=nonce,
        user_data=host.transcript,
        public_key=host.welcome["session_key"],
    )


# Attest.


async def test_a_connection_is_attested_by_its_transcript_its_key_and_the_caller_s_nonce(
    cloud: Cloud, enclave: Enclave
) -> None:
    first, second = await Host.greet(enclave), await Host.greet(enclave)
    documents = [await attested(cloud, host) for host in (first, first, second)]
    assert documents[0].user_data == documents[1].user_data != documents[2].user_data
    assert documents[0].pcrs == documents[2].pcrs
    assert not documents[0].debug


@pytest.mark.parametrize("size", [16, 512])
async def test_the_nonce_is_carried_as_it_is(cloud: Cloud, enclave: Enclave, size: int) -> None:
    host = await Host.greet(enclave)
    document = (await host.ask("Attest", nonce=b"\x5a" * size))["document"]
    assert verify(document, root_sha256=root(cloud)).nonce == b"\x5a" * size


async def test_a_relay_that_changes_hello_cannot_have_the_change_attested(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.greet(enclave, altered=True)
    with pytest.raises(attestation.AttestationError, match="user_data"):
        await attested(cloud, host)
    # And what the host seals for the connection it believes in opens nowhere.
    assert "not sealed to the key of this connection" in (await refused(host.renew()))[-1]


async def test_a_relay_that_puts_its_own_key_into_welcome_is_found_out(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.greet(enclave)
    welcome = host.welcome | {"session_key": os.urandom(32)}
    host.answered = cbor2.dumps({"Ok": welcome})
    with pytest.raises(IntegrityError):
        await attested(cloud, host)


async def test_a_module_that_fails_is_named_and_the_connection_goes_on(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.greet(enclave)
    cloud.tell("nsm", do="fail", operation="Attestation", error="InternalError", times=1)
    chain = await refused(host.ask("Attest", nonce=bytes(16)))
    assert chain[:2] == ("encryption error", "attestation error")
    assert "InternalError" in chain[2]
    await attested(cloud, host)


async def test_many_hosts_may_ask_for_documents_at_once(cloud: Cloud, enclave: Enclave) -> None:
    hosts = [await Host.greet(enclave) for _ in range(3)]
    asked = [(host, host.call("Attest", nonce=bytes(16))) for host in hosts for _ in range(30)]
    for host, identifier in asked:
        assert (await host.reply(identifier))["document"]


# Credentials.


async def test_credentials_may_come_anew_while_keys_stay(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make()
    assert await host.renew(secret_access_key="wrong") is None
    chain = await refused(host.make())
    assert "InvalidSignatureException" in chain[3]
    assert await host.sign(born["handle"], b"m")
    assert await host.renew(encryption_key_id=KEY_ID) is None
    assert (await host.make())["handle"] == 1


async def test_expired_credentials_are_kms_s_to_refuse_and_new_ones_help(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.ready(enclave)
    cloud.tell("kms", do="fail", operation="GenerateDataKey", error="ExpiredTokenException", times=1)
    assert (await refused(host.make()))[3].startswith("ExpiredTokenException")
    assert await host.renew() is None
    assert await host.make()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"encryption_key_id": "alias/signer"}, "is an alias"),
        ({"encryption_key_id": KEY_ARN.replace("1111", "2222")}, "do not allow that KMS key"),
        ({"region": "us-east-1"}, "do not allow that KMS key in us-east-1"),
        ({"region": "us-east-1.evil"}, "is not the name of an AWS region"),
        ({"region": "x@attacker.example:443/#"}, "is not the name of an AWS region"),
        ({"encryption_key_id": ""}, "do not allow that KMS key"),
    ],
)
async def test_a_key_or_region_that_the_settings_do_not_allow_is_refused(
    enclave: Enclave, changed: dict[str, str], words: str
) -> None:
    host = await Host.greet(enclave)
    chain = await refused(host.renew(**changed))
    assert chain[0] == "initialization error"
    assert words in chain[1]
    # The refusal leaves the session as it was: without credentials, or with those it had.
    assert await refused(host.make()) == ("uninitialized",)
    assert await host.renew() is None
    assert await refused(host.renew(**changed)) == chain
    assert await host.make()


async def test_a_renewal_does_not_change_the_kms_key_of_a_session(cloud: Cloud) -> None:
    second = KEY_ARN.replace(KEY_ID, "99999999-12ab-34cd-56ef-1234567890ab")
    enclave = cloud.enclave(kms_key_arns=[KEY_ARN, second])
    host = await Host.ready(enclave)
    chain = await refused(host.renew(encryption_key_id=second))
    assert chain == (
        "initialization error",
        "new credentials may not change the KMS key or the region of a session",
    )
    assert (await host.make())["kms_key_arn"] == KEY_ARN
    assert await (await Host.greet(enclave)).renew(encryption_key_id=second) is None


async def test_what_was_sealed_for_another_connection_use_or_transcript_opens_nowhere(
    enclave: Enclave,
) -> None:
    host, other = await Host.greet(enclave), await Host.greet(enclave)
    plaintext = cbor2.dumps(CREDENTIALS)
    tag = b"signatory-vault/hpke/v1\0RenewCredentials\0"
    info = tag + host.transcript
    good = host.seal("RenewCredentials", plaintext)
    replayed = [
        other.seal("RenewCredentials", plaintext),
        host.seal("ImportSealed", plaintext),
        host.seal("RenewCredentials", plaintext, other.transcript),
        hpke_seal(other.welcome["session_key"], plaintext, info),
        hpke_seal(host.welcome["session_key"], plaintext, b""),
        good[:-1],
        good[:-1] + bytes([good[-1] ^ 1]),
        bytes([good[0] ^ 1]) + good[1:],
        bytes(32) + good[32:],
        good[:47],
        b"",
        plaintext,
    ]
    for sealed in replayed:
        assert await refused(host.ask("RenewCredentials", sealed=sealed)) == (
            "encryption error",
            "this was not sealed to the key of this connection, for this use",
        )
    assert await refused(host.make()) == ("uninitialized",)
    assert await host.ask("RenewCredentials", sealed=good) is None
    assert await host.make()


async def test_a_key_is_no_credentials_and_credentials_are_no_key(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    key, credentials = cbor2.dumps({"Ed25519": SEED}), cbor2.dumps(CREDENTIALS)
    said = [
        await refused(host.ask("RenewCredentials", sealed=host.seal("RenewCredentials", key))),
        await refused(host.ask("RenewCredentials", sealed=host.seal("ImportSealed", credentials))),
        await refused(host.ask("ImportSealed", sealed=host.seal("ImportSealed", credentials), **USUAL)),
        await refused(host.ask("ImportSealed", sealed=host.seal("RenewCredentials", key), **USUAL)),
    ]
    assert [chain[0] for chain in said] == [
        "initialization error",
        "encryption error",
        "deserialization error",
        "encryption error",
    ]
    assert (await host.ask("Status"))["keys"] == 0


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\xff",
        cbor2.dumps({**CREDENTIALS, "hunter2": "hunter2"}),
        cbor2.dumps({**CREDENTIALS, "region": None}),
        cbor2.dumps({name: value for name, value in CREDENTIALS.items() if name != "session_token"}),
        cbor2.dumps(list(CREDENTIALS.values())),
        cbor2.dumps(CREDENTIALS) + b"\0",
        b"\xa2" + 2 * (cbor2.dumps(ACCESS.secret_access_key) + b"\1"),
    ],
)
async def test_credentials_that_are_none_are_refused_and_not_repeated(
    enclave: Enclave, plaintext: bytes
) -> None:
    host = await Host.greet(enclave)
    chain = await refused(host.ask("RenewCredentials", sealed=host.seal("RenewCredentials", plaintext)))
    assert chain[0] == "initialization error"
    assert not [value for value in (*CREDENTIALS.values(), "hunter2") if value in chain[1]]
    assert await refused(host.make()) == ("uninitialized",)
