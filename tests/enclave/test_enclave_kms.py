"""KMS for one session: what it is asked, with which credentials, how often, and by whose clock."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from emulators import ACCESS, KEY_ARN
from kms_parts import (
    FOREIGN,
    KEY,
    OTHER,
    Answer,
    Module,
    answered,
    asked,
    client_context,
    encrypted,
    recipient_of,
    refused,
    session,
    tls_server,
    to_recipient,
)

from enclave_signer import kms as enclave_kms
from enclave_signer.kms import AttestationError, CallDeniedError
from enclave_signer.recipients import Recipient, Recipients, _make
from signatory.errors import DeniedError, UnavailableError
from signatory.net.vsock import Address
from signatory.nitro import nsm as facts
from signatory.nitro.kms_errors import KmsError
from signatory.nitro.sigv4 import AccessKey


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclave_kms, "_FIRST_PAUSE", 0.0)


def recorded(requests: list[bytes], answer: bytes | Answer) -> Callable[[bytes], bytes]:
    def say(request: bytes) -> bytes:
        requests.append(request)
        said = answer if isinstance(answer, bytes) else answer(request)
        assert isinstance(said, bytes)
        return said

    return say


def target_of(request: bytes) -> str:
    return request.partition(b"X-Amz-Target: ")[2].partition(b"\r\n")[0].decode()


async def test_a_recipient_key_that_cannot_be_made_is_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [RuntimeError("can't start new thread")]

    def make() -> Recipient:
        if failures:
            raise failures.pop()
        return _make()

    monkeypatch.setattr("enclave_signer.recipients.PAUSE", 0.0)
    monkeypatch.setattr("enclave_signer.recipients._make", make)
    recipients = Recipients()
    with pytest.raises(UnavailableError, match=r"^no recipient key was ready within 0.01 s$"):
        await recipients.take(0.01)
    recipients.start()
    assert len((await recipients.take(30)).spki) == 294
    await recipients.close()


async def test_a_data_key_is_asked_for_by_arn_context_and_recipient(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    answer = recorded(seen, to_recipient(b"\x07" * 32, wrapped=b"wrapped"))
    async with tls_server(tmp_path, answer) as address, session(address, context) as kms:
        made = await kms.generate_data_key({"user_id": "baker-7"})
    assert (made.plaintext, made.wrapped, made.key) == (b"\x07" * 32, b"wrapped", KEY)
    assert "07" * 32 not in repr(made)
    assert target_of(seen[0]) == "TrentService.GenerateDataKey"
    members = asked(seen[0])
    recipient = members.pop("Recipient")
    assert members == {"KeyId": KEY_ARN, "KeySpec": "AES_256", "EncryptionContext": {"user_id": "baker-7"}}
    assert recipient["KeyEncryptionAlgorithm"] == "RSAES_OAEP_SHA_256"
    # An RSA-2048 public key with exponent 65537 is 294 bytes of SPKI.
    spki = recipient_of(seen[0])
    assert (len(spki), spki[-5:]) == (294, bytes.fromhex("0203010001"))


async def test_what_the_module_is_asked_for_kms_is_a_document_over_the_public_key_alone(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    module = Module()
    async with (
        tls_server(tmp_path, to_recipient(b"secret")) as address,
        session(address, context, module) as kms,
    ):
        await kms.decrypt(b"x")
    (request,) = module.asked
    assert isinstance(request, facts.Attestation)
    assert (request.user_data, request.nonce) == (None, None)
    assert len(request.public_key or b"") == 294


async def test_decrypt_names_key_and_context(tmp_path: Path, context: ssl.SSLContext) -> None:
    seen: list[bytes] = []
    answer = recorded(seen, to_recipient(b"secret", OTHER))
    async with (
        tls_server(tmp_path, answer) as address,
        session(address, context, allowed=(KEY, OTHER)) as kms,
    ):
        assert await kms.decrypt(b"blob", key=OTHER, context={"key_id": "tz1"}) == b"secret"
    members = asked(seen[0])
    assert members["KeyId"] == str(OTHER)
    assert members["EncryptionContext"] == {"key_id": "tz1"}
    assert members["CiphertextBlob"] == base64.b64encode(b"blob").decode()


async def test_without_a_key_the_sealing_key_is_tried_first_and_others_only_when_it_is_the_wrong_one(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    wrong = recorded(seen, refused("IncorrectKeyException", "not this key"))
    right = recorded(seen, to_recipient(b"secret", OTHER))
    async with (
        tls_server(tmp_path, wrong, right) as address,
        session(address, context, allowed=(OTHER, KEY)) as kms,
    ):
        assert await kms.decrypt(b"blob") == b"secret"
    assert [asked(request)["KeyId"] for request in seen] == [KEY_ARN, str(OTHER)]
    assert all("EncryptionContext" not in asked(request) for request in seen)


@pytest.mark.parametrize("name", ["InvalidCiphertextException", "AccessDeniedException", "DisabledException"])
async def test_any_other_refusal_of_the_sealing_key_ends_it(
    tmp_path: Path, context: ssl.SSLContext, name: str
) -> None:
    async with (
        tls_server(tmp_path, refused(name, ""), to_recipient(b"secret", OTHER)) as address,
        session(address, context, allowed=(KEY, OTHER)) as kms,
    ):
        with pytest.raises(KmsError, match=name):
            await kms.decrypt(b"x")
        assert kms.calls == 1


async def test_a_blob_of_no_allowed_key_ends_with_what_kms_said_last(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    answer = refused("IncorrectKeyException", "not this key")
    async with (
        tls_server(tmp_path, answer, answer) as address,
        session(address, context, allowed=(KEY, OTHER)) as kms,
    ):
        with pytest.raises(KmsError, match="IncorrectKeyException"):
            await kms.decrypt(b"x")
        assert kms.calls == 2


async def test_a_key_that_is_not_allowed_is_not_even_asked_for(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    async with session(Address("unix", str(tmp_path / "none")), context) as kms:
        with pytest.raises(DeniedError, match="do not allow the KMS key"):
            await kms.decrypt(b"x", key=FOREIGN)
        assert kms.calls == 0


async def test_every_call_has_a_recipient_key_of_its_own(tmp_path: Path, context: ssl.SSLContext) -> None:
    module = Module()
    async with (
        tls_server(tmp_path, *[to_recipient(b"secret")] * 3) as address,
        session(address, context, module) as kms,
    ):
        await asyncio.gather(*[kms.decrypt(b"x") for _ in range(3)])
    keys = {request.public_key for request in module.asked if isinstance(request, facts.Attestation)}
    assert len(keys) == 3


async def test_expired_credentials_are_told_apart(tmp_path: Path, context: ssl.SSLContext) -> None:
    answer = refused("ExpiredTokenException", "The security token included in the request is expired")
    async with tls_server(tmp_path, answer) as address, session(address, context) as kms:
        with pytest.raises(KmsError) as caught:
            await kms.generate_data_key({"key_id": "tz1"})
    assert caught.value.expired
    assert isinstance(caught.value, UnavailableError)


@pytest.mark.parametrize(
    ("operation", "measured"), [("Decrypt", True), ("GenerateDataKey", True), ("Encrypt", False)]
)
async def test_a_denial_keeps_the_operation_and_the_measurement(
    tmp_path: Path, context: ssl.SSLContext, operation: str, measured: bool
) -> None:
    answer = refused("AccessDeniedException", "no")
    async with tls_server(tmp_path, answer) as address, session(address, context) as kms:
        calls = {
            "Decrypt": lambda: kms.decrypt(b"x"),
            "GenerateDataKey": lambda: kms.generate_data_key({"key_id": "tz1"}),
            "Encrypt": lambda: kms.encrypt(b"x"),
        }
        with pytest.raises(CallDeniedError) as caught:
            await calls[operation]()
    assert caught.value.operation == operation
    assert caught.value.pcr0 == ("ab" * 48 if measured else None)


async def test_new_credentials_serve_the_next_call_and_old_ones_the_call_under_way(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def throttle(request: bytes) -> bytes:
        seen.append(request)
        begun.set()
        await go_on.wait()
        return refused("ThrottlingException", "later")

    renewed = AccessKey("AKIARENEWED", "another-secret", "another-token")
    async with (
        tls_server(tmp_path, throttle, *[recorded(seen, encrypted())] * 2) as address,
        session(address, context) as kms,
    ):
        first, rights = asyncio.create_task(kms.encrypt(b"x")), kms.rights
        await begun.wait()
        kms.renew(renewed)
        go_on.set()
        assert await first == await kms.encrypt(b"x") == b"\x01\x02\x03"
        assert kms.rights is not rights
        assert "another-secret" not in repr(kms.rights)
    names = [request.partition(b"Credential=")[2].partition(b"/")[0].decode() for request in seen]
    assert names == [ACCESS.access_key_id, ACCESS.access_key_id, "AKIARENEWED"]
    assert b"X-Amz-Security-Token: another-token" in seen[2]


async def test_without_a_document_nothing_is_asked_of_kms(tmp_path: Path, context: ssl.SSLContext) -> None:
    class Refusing:
        async def request(self, body: bytes) -> bytes:
            del body
            return facts.encode_error("InputTooLarge")

    async with session(Address("unix", str(tmp_path / "none")), context, Refusing()) as kms:
        for call in (kms.decrypt(b"x"), kms.generate_data_key({"key_id": "tz1"})):
            with pytest.raises(AttestationError, match="InputTooLarge"):
                await call
        assert kms.calls == 0


async def test_an_answer_without_a_blob_is_none(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, answered()) as address, session(address, context) as kms:
        with pytest.raises(Exception, match="CiphertextBlob is missing"):
            await kms.encrypt(b"x")
