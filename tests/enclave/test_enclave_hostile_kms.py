"""What a parent could try between the enclave and KMS, were it able to answer in KMS's place."""

import json
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from emulators import KEY_ARN
from kms_parts import (
    FOREIGN,
    OTHER,
    Answer,
    answered,
    client_context,
    encrypted,
    http,
    recipient_of,
    session,
    tls_server,
    to_recipient,
)

from enclave_signer.kms import KmsSession
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import cms
from signatory.nitro.kms import Arn, host_of

Call = Callable[[KmsSession], Awaitable[object]]
CONTEXT = {"key_id": "tz1"}


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path)


def decrypt(kms: KmsSession) -> Awaitable[object]:
    return kms.decrypt(b"x", context=CONTEXT)


def generate(kms: KmsSession) -> Awaitable[object]:
    return kms.generate_data_key(CONTEXT)


def encrypt(kms: KmsSession) -> Awaitable[object]:
    return kms.encrypt(b"x")


async def _refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call, answer: bytes | Answer, *, allowed: tuple[Arn, ...]
) -> str:
    """The text of the integrity error that the answer ends with; it was not asked for again."""
    async with (
        tls_server(tmp_path, answer, answer) as address,
        session(address, context, allowed=allowed) as kms,
    ):
        with pytest.raises(IntegrityError) as caught:
            await call(kms)
        assert kms.calls == 1
    return caught.value.message


KEY = Arn.parse(KEY_ARN)
ONE = (KEY,)
BOTH = (KEY, OTHER)


@pytest.mark.parametrize("key", [FOREIGN, OTHER])
@pytest.mark.parametrize("call", [decrypt, generate, encrypt])
async def test_an_answer_of_a_foreign_key_is_refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call, key: Arn
) -> None:
    answers = {
        decrypt: to_recipient(b"s", key),
        generate: to_recipient(bytes(32), key, wrapped=b"w"),
        encrypt: encrypted(key),
    }
    # Not even another allowed key may answer: the one that was named did not.
    said = await _refused(tmp_path, context, call, answers[call], allowed=BOTH)
    assert said == f"KMS answered with the key {key}, not {KEY_ARN}"


@pytest.mark.parametrize(
    "key", ["", "alias/signer", KEY.key_id, KEY_ARN.replace("us-west-2", "us-west-2.evil"), KEY_ARN + "\n"]
)
@pytest.mark.parametrize("call", [decrypt, generate, encrypt])
async def test_an_answer_that_names_no_full_arn_is_refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call, key: str
) -> None:
    answers = {
        decrypt: to_recipient(b"s", key),
        generate: to_recipient(bytes(32), key, wrapped=b"w"),
        encrypt: encrypted(key),
    }
    said = await _refused(tmp_path, context, call, answers[call], allowed=ONE)
    assert said.startswith("KMS's answer cannot be read")


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1.evil.example",
        "us-east-1.evil",
        "us-east-1/",
        "us-east-1@evil.example",
        "us-east-1:443#",
        "US-EAST-1",
        "us-east-1\n",
        "",
        "../us-east-1",
        "xn--us-east-1",
    ],
)
def test_a_region_that_would_lead_elsewhere_becomes_no_host_name(region: str) -> None:
    with pytest.raises(MalformedError):
        host_of(region)
    with pytest.raises(MalformedError):
        Arn.parse(KEY_ARN.replace("us-west-2", region))


@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("call", [decrypt, generate])
async def test_an_answer_in_the_clear_is_refused_and_not_asked_for_again(
    tmp_path: Path, context: ssl.SSLContext, call: Call, size: int
) -> None:
    # As if the parent had taken the Recipient out of the request.
    answer = answered(Plaintext=b"\x07" * size, CiphertextBlob=b"w")
    said = await _refused(tmp_path, context, call, answer, allowed=ONE)
    assert said == "KMS answered without CiphertextForRecipient though a recipient was named"


@pytest.mark.parametrize("call", [decrypt, generate])
async def test_an_envelope_beside_plaintext_is_refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call
) -> None:
    answer = answered(Plaintext=bytes(32), CiphertextForRecipient=b"\x30\x80", CiphertextBlob=b"w")
    said = await _refused(tmp_path, context, call, answer, allowed=ONE)
    assert "though a recipient was named" in said


@pytest.mark.parametrize("call", [decrypt, generate])
async def test_an_answer_without_a_secret_is_refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call
) -> None:
    for empty in ({}, {"Plaintext": None}, {"Plaintext": ""}, {"CiphertextForRecipient": ""}):
        answer = http(json.dumps({"KeyId": KEY_ARN, "CiphertextBlob": "AQID", **empty}).encode())
        assert "CiphertextForRecipient" in await _refused(tmp_path, context, call, answer, allowed=ONE)


@pytest.mark.parametrize("call", [decrypt, generate])
async def test_an_envelope_for_another_key_and_garbage_have_one_text(
    tmp_path: Path, context: ssl.SSLContext, call: Call
) -> None:
    theirs = rsa.generate_private_key(65537, 2048).public_key()
    spki = theirs.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def renamed(request: bytes) -> bytes:
        """An envelope that names our key and is encrypted to theirs."""
        built = cms.build(spki, bytes(32), entropy=os.urandom)
        named = built.replace(cms.recipient_id(spki), cms.recipient_id(recipient_of(request)))
        return answered(CiphertextForRecipient=named, CiphertextBlob=b"w")

    texts = {
        await _refused(tmp_path, context, call, answer, allowed=ONE)
        for answer in (
            to_recipient(bytes(32), wrapped=b"w", spki=spki),
            renamed,
            answered(CiphertextForRecipient=b"\x30\x80", CiphertextBlob=b"w"),
            answered(CiphertextForRecipient=b"\x00" * 500, CiphertextBlob=b"w"),
        )
    }
    assert texts == {"the envelope from KMS does not open with this key"}


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64, 4096])
async def test_a_data_key_of_another_length_is_refused(
    tmp_path: Path, context: ssl.SSLContext, size: int
) -> None:
    answer = to_recipient(os.urandom(size), wrapped=b"w")
    said = await _refused(tmp_path, context, generate, answer, allowed=ONE)
    assert said == f"KMS's data key has {size} bytes, not 32"


async def test_a_data_key_without_its_wrapped_form_is_refused(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    said = await _refused(tmp_path, context, generate, to_recipient(bytes(32)), allowed=ONE)
    assert said == "KMS's answer cannot be read: CiphertextBlob is missing"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"KeyId": "x"}', b"{" * 5000])
@pytest.mark.parametrize("call", [decrypt, generate, encrypt])
async def test_an_answer_that_is_none_is_refused(
    tmp_path: Path, context: ssl.SSLContext, call: Call, body: bytes
) -> None:
    await _refused(tmp_path, context, call, http(body), allowed=ONE)
