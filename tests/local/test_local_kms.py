"""The KMS emulator as a process, with boto3 as client and openssl's own CMS as the recipient's eyes."""

import base64
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import cbor2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from emulators import (
    ACCESS,
    ACCOUNT,
    INSTANCE,
    KEY_ARN,
    KEY_ID,
    PRINCIPAL,
    REGION,
    ROLE,
    Emulators,
    short_folder,
)
from laptop_processes import ask, prepare_tree

from cli.local import nsm_chain
from cli.local.faults import Faults
from cli.local.nsm import NsmConfig
from cli.local.nsm_device import Device, Identity

Client = Any
ROLE_MAY = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Resource": "*"}
USES_KEY = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"]


class Cloud(Emulators):
    """A running NSM and KMS, and what a test does to them."""

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def measured(self) -> Mapping[int, bytes]:
        return NsmConfig.load(self.folder / "nsm").measured()

    @property
    def ca(self) -> Path:
        return self.folder / "kms" / "ca.pem"

    @property
    def url(self) -> str:
        return "https://localhost:" + self.kms.listening().rpartition(":")[2]

    def client(self, token: str | None = ACCESS.session_token, **changed: str) -> Client:
        given = {
            "aws_access_key_id": ACCESS.access_key_id,
            "aws_secret_access_key": ACCESS.secret_access_key,
            "region_name": REGION,
        } | changed
        return boto3.client(
            "kms",
            endpoint_url=self.url,
            verify=str(self.ca),
            aws_session_token=token,
            config=Config(retries={"max_attempts": 0}),
            **given,
        )

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def recipient(self, document: bytes | None = None) -> dict[str, Any]:
        """A fresh document of the NSM process unless another is given."""
        fields = {"user_data": None, "nonce": None, "public_key": self.spki}
        body = cbor2.dumps({"Attestation": fields})
        made = document or cbor2.loads(ask(self.folder / "nsm.sock", body))["Attestation"]["document"]
        return {"AttestationDocument": made, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}

    def document_at(self, when: datetime, root: nsm_chain.Signer | None = None, **fields: Any) -> bytes:
        """What the NSM would have said at another time, or under another root."""
        signer = root or nsm_chain.open_root(self.folder / "nsm", when)
        device = Device(signer, Identity(REGION, INSTANCE, "m"), self.measured, lambda: when, Faults())
        asked = {"user_data": None, "nonce": None, "public_key": self.spki} | fields
        answer = cbor2.loads(device.answer(cbor2.dumps({"Attestation": asked})))
        document: bytes = answer["Attestation"]["document"]
        return document

    def policy(self, *statements: Mapping[str, Any]) -> None:
        self.state.add_key(KEY_ID, {"Version": "2012-10-17", "Statement": list(statements)})

    def open_envelope(self, envelope: bytes) -> bytes:
        """By openssl, which shares no code with us."""
        key = self.folder / "recipient.key"
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", str(key)]
        return subprocess.run(command, input=envelope, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    with short_folder() as folder, Cloud(folder, prepare_tree(folder)).running() as made:
        yield made


@pytest.fixture(name="cloud")
def _cloud(running: Cloud) -> Cloud:
    running.tell("kms", do="clear")
    running.policy(ROLE_MAY | {"Action": USES_KEY})
    return running


@pytest.fixture
def kms(cloud: Cloud) -> Iterator[Client]:
    client = cloud.client()
    yield client
    client.close()


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[str, str, int]:
    """Name, message and HTTP status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], answer["Error"]["Message"], status


def attested(pcrs: Mapping[str, str]) -> dict[str, Any]:
    conditions = {f"kms:RecipientAttestation:{name}": value for name, value in pcrs.items()}
    return {"Condition": {"StringEqualsIgnoreCase": conditions}}


def test_what_was_encrypted_comes_back_in_the_same_context_only(kms: Client) -> None:
    context = {"purpose": "test", "a": "b"}
    made = kms.encrypt(KeyId=KEY_ARN, Plaintext=b"secret", EncryptionContext=context)
    assert made["KeyId"] == KEY_ARN
    assert b"secret" not in made["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", KEY_ARN)
    assert opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    for other in ({}, {"purpose": "test"}, context | {"c": "d"}, {"purpose": "Test", "a": "b"}):
        code, _, status = refused(kms.decrypt, CiphertextBlob=made["CiphertextBlob"], EncryptionContext=other)
        assert (code, status) == ("InvalidCiphertextException", 400)


def test_a_recipient_gets_an_envelope_and_no_plaintext(cloud: Cloud, kms: Client) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"for the enclave only")["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())
    assert not opened.get("Plaintext")
    envelope = opened["CiphertextForRecipient"]
    assert envelope.startswith(bytes.fromhex("308006092a864886f70d010703a080"))
    assert envelope.endswith(bytes(8))
    assert cloud.open_envelope(envelope) == b"for the enclave only"


def test_data_keys_and_randomness_go_to_the_recipient_too(cloud: Cloud, kms: Client) -> None:
    made = kms.generate_data_key(KeyId=KEY_ARN, KeySpec="AES_256", Recipient=cloud.recipient())
    assert not made.get("Plaintext")
    data_key = cloud.open_envelope(made["CiphertextForRecipient"])
    assert len(data_key) == 32
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == data_key
    random = kms.generate_random(NumberOfBytes=100, Recipient=cloud.recipient())
    assert not random.get("Plaintext")
    assert len(cloud.open_envelope(random["CiphertextForRecipient"])) == 100


def test_without_a_recipient_they_come_in_clear(kms: Client) -> None:
    made = kms.generate_data_key(KeyId=KEY_ARN, NumberOfBytes=7)
    assert len(made["Plaintext"]) == 7
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024


def test_beside_an_envelope_the_plaintext_is_there_and_null(cloud: Cloud, kms: Client) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    recipient = cloud.recipient()
    recipient["AttestationDocument"] = base64.b64encode(recipient["AttestationDocument"]).decode()
    body = json.dumps({"CiphertextBlob": base64.b64encode(blob).decode(), "Recipient": recipient})
    status, answer, headers = post(cloud, "Decrypt", body.encode())
    assert status == 200
    assert json.loads(answer)["Plaintext"] is None
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert abs((parsedate_to_datetime(headers["Date"]) - datetime.now(UTC)).total_seconds()) < 60


def test_a_policy_pinned_to_the_measurement_opens_to_the_nsm_and_to_nothing_else(
    cloud: Cloud, kms: Client
) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    pcr0, pcr1, pcr3 = (cloud.measured[index].hex() for index in (0, 1, 3))
    other = "00" * 47 + "01"
    opens: list[Mapping[str, str]] = [
        {"ImageSha384": pcr0},
        {"PCR0": pcr0.upper(), "PCR1": pcr1, "PCR3": pcr3},
    ]
    closed: list[Mapping[str, str]] = [
        {"ImageSha384": other},
        {"PCR0": pcr0, "PCR1": other},
        {"PCR8": other},
        {"PCR16": other},
    ]
    for pcrs in opens:
        cloud.policy(ROLE_MAY | {"Action": "kms:Decrypt"} | attested(pcrs))
        assert kms.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())["CiphertextForRecipient"]
        assert refused(kms.decrypt, CiphertextBlob=blob)[0] == "AccessDeniedException"
    for pcrs in closed:
        cloud.policy(ROLE_MAY | {"Action": "kms:Decrypt"} | attested(pcrs))
        code, message, status = refused(kms.decrypt, CiphertextBlob=blob, Recipient=cloud.recipient())
        assert (code, status) == ("AccessDeniedException", 400)
        assert f"{PRINCIPAL} is not authorized to perform: kms:Decrypt" in message
        assert "because no resource-based policy allows the kms:Decrypt action" in message


def test_an_explicit_deny_wins_and_says_so(cloud: Cloud, kms: Client) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    null = {"Condition": {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}}}
    cloud.policy(ROLE_MAY | {"Action": USES_KEY}, deny | null)
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    code, message, _ = refused(kms.decrypt, CiphertextBlob=blob)
    assert code == "AccessDeniedException"
    assert "with an explicit deny in a resource-based policy" in message
    assert kms.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())["CiphertextForRecipient"]


def test_a_policy_may_demand_an_encryption_context(cloud: Cloud, kms: Client) -> None:
    condition = {
        "StringEquals": {"kms:EncryptionContext:purpose": "tezos"},
        "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["purpose"]},
    }
    cloud.policy(ROLE_MAY | {"Action": USES_KEY, "Condition": condition})
    assert kms.encrypt(KeyId=KEY_ID, Plaintext=b"x", EncryptionContext={"purpose": "tezos"})
    for context in ({}, {"purpose": "raw"}, {"purpose": "tezos", "more": "x"}):
        code, *_ = refused(kms.encrypt, KeyId=KEY_ID, Plaintext=b"x", EncryptionContext=context)
        assert code == "AccessDeniedException"


def test_somebody_else_is_not_allowed(cloud: Cloud, kms: Client) -> None:
    other = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}
    cloud.policy(ROLE_MAY | {"Principal": other, "Action": USES_KEY})
    assert refused(kms.encrypt, KeyId=KEY_ID, Plaintext=b"x")[0] == "AccessDeniedException"


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(hours=4), timedelta(minutes=-3)])
def test_a_document_of_another_time_is_refused(cloud: Cloud, kms: Client, age: timedelta) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    document = cloud.document_at(datetime.now(UTC) - age)
    code, message, status = refused(kms.decrypt, CiphertextBlob=blob, Recipient=cloud.recipient(document))
    assert (code, status) == ("ValidationException", 400)
    assert "attestation document" in message.lower()


def test_a_document_that_is_not_of_the_laptops_nsm_is_refused(cloud: Cloud, kms: Client) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    now = datetime.now(UTC)
    good = cloud.document_at(now)
    foreign = cloud.document_at(now, root=nsm_chain._make_root(now))
    keyless = cloud.document_at(now, public_key=None)
    not_rsa = cloud.document_at(now, public_key=b"no key at all")
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    changed = good.replace(b"SHA384", b"SHA385")
    for document in (foreign, keyless, not_rsa, flipped, changed, b"x", good + b"\0"):
        code, *_ = refused(kms.decrypt, CiphertextBlob=blob, Recipient=cloud.recipient(document))
        assert code == "ValidationException"
    assert kms.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient(good))["CiphertextForRecipient"]


def test_a_key_is_found_by_id_or_arn_and_must_be_the_one_that_encrypted(cloud: Cloud, kms: Client) -> None:
    second = "00000000-0000-0000-0000-00000000abcd"
    cloud.state.add_key(second, {"Statement": [ROLE_MAY | {"Action": USES_KEY}]})
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, KeyId=KEY_ARN)["Plaintext"] == b"x"
    assert refused(kms.decrypt, CiphertextBlob=blob, KeyId=second)[0] == "IncorrectKeyException"
    missing = KEY_ARN.replace("1234", "4321")
    for unknown in (missing, "nonsense", "../keys", f"alias/{KEY_ID}", KEY_ARN.replace(REGION, "eu-west-1")):
        assert refused(kms.encrypt, KeyId=unknown, Plaintext=b"x")[0] == "NotFoundException"
    assert refused(kms.decrypt, CiphertextBlob=blob, KeyId=missing)[0] == "NotFoundException"


def test_a_damaged_ciphertext_is_refused_and_a_foreign_one_denied(kms: Client) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    for damaged in (blob[:-1], blob[:-1] + bytes([blob[-1] ^ 1]), b"\x02" + blob[1:], b"x"):
        assert refused(kms.decrypt, CiphertextBlob=damaged)[0] == "InvalidCiphertextException"
    foreign = blob[:1] + bytes(16) + blob[17:]
    assert refused(kms.decrypt, CiphertextBlob=foreign)[0] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("state", "name"), [("Disabled", "DisabledException"), ("PendingDeletion", "KMSInvalidStateException")]
)
def test_a_key_that_is_switched_off_refuses(cloud: Cloud, kms: Client, state: str, name: str) -> None:
    path = cloud.folder / "kms" / "keys" / KEY_ID / "key.json"
    path.write_text(json.dumps({"state": state}))
    try:
        assert refused(kms.encrypt, KeyId=KEY_ID, Plaintext=b"x")[0] == name
    finally:
        path.write_text(json.dumps({"state": "Enabled"}))


def test_sizes_are_those_of_kms(kms: Client) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=bytes(4096))["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == bytes(4096)
    assert refused(kms.encrypt, KeyId=KEY_ID, Plaintext=bytes(4097))[0] == "ValidationException"
    assert refused(kms.decrypt, CiphertextBlob=bytes(6144))[0] == "InvalidCiphertextException"
    assert refused(kms.decrypt, CiphertextBlob=bytes(6145))[0] == "ValidationException"
    assert refused(kms.generate_random, NumberOfBytes=1025)[0] == "ValidationException"
    assert refused(kms.generate_data_key, KeyId=KEY_ID)[0] == "ValidationException"


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"aws_access_key_id": "ASIANOBODY"}, "UnrecognizedClientException"),
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"token": "wrong"}, "UnrecognizedClientException"),
        ({"token": None}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_a_caller_who_is_not_who_he_says_is_refused(cloud: Cloud, changed: Any, name: str) -> None:
    client = cloud.client(**changed)
    code, _, status = refused(client.generate_random, NumberOfBytes=1)
    client.close()
    assert (code, status) == (name, 400)


def test_a_credential_runs_out_and_another_takes_over(cloud: Cloud) -> None:
    new = {"access_key_id": "ASIASECOND", "secret_access_key": "second", "session_token": "token"}
    cloud.tell("kms", do="credential", like=ACCESS.access_key_id, **new)
    client = cloud.client(aws_access_key_id="ASIASECOND", aws_secret_access_key="second", token="token")
    assert client.encrypt(KeyId=KEY_ID, Plaintext=b"x")
    assert cloud.tell("kms", do="expire", access_key_id="ASIASECOND", seconds=0) == {"ok": True}
    code, message, status = refused(client.encrypt, KeyId=KEY_ID, Plaintext=b"x")
    client.close()
    assert (code, status) == ("ExpiredTokenException", 400)
    assert message == "The security token included in the request is expired"


def test_it_fails_as_told_and_then_serves_again(cloud: Cloud, kms: Client) -> None:
    for name in ("ThrottlingException", "KMSInternalException", "DependencyTimeoutException"):
        cloud.tell("kms", do="fail", operation="Encrypt", error=name, times=2)
    codes = [refused(kms.encrypt, KeyId=KEY_ID, Plaintext=b"x")[::2] for _ in range(6)]
    assert codes == [
        *[("ThrottlingException", 400)] * 2,
        *[("KMSInternalException", 500)] * 2,
        *[("DependencyTimeoutException", 503)] * 2,
    ]
    assert kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")
    assert cloud.tell("kms", do="status")["faults"] == []


def test_it_delays_as_told(cloud: Cloud, kms: Client) -> None:
    cloud.tell("kms", do="delay", operation="GenerateRandom", seconds=0.001)
    assert kms.generate_random(NumberOfBytes=1)
    assert cloud.tell("kms", do="status")["faults"] == []


def test_told_to_be_hostile_it_answers_in_clear_although_a_recipient_was_named(
    cloud: Cloud, kms: Client
) -> None:
    blob = kms.encrypt(KeyId=KEY_ID, Plaintext=b"x")["CiphertextBlob"]
    cloud.tell("kms", do="plaintext", operation="Decrypt")
    opened = kms.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())
    assert (opened["Plaintext"], "CiphertextForRecipient" in opened) == (b"x", False)


def post(
    cloud: Cloud, operation: str, body: bytes, *, sign: bool = True, **headers: str
) -> tuple[int, bytes, Message]:
    """A request by urllib, signed by botocore."""
    given = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"}
    request = AWSRequest("POST", cloud.url + "/", data=body, headers=given | headers)
    if sign:
        key = Credentials(ACCESS.access_key_id, ACCESS.secret_access_key, ACCESS.session_token)
        SigV4Auth(key, "kms", REGION).add_auth(request)
    context = ssl.create_default_context(cafile=str(cloud.ca))
    sent = urllib.request.Request(cloud.url + "/", body, dict(request.headers.items()))  # noqa: S310  ours
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(sent, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as failure:
        with failure:
            return failure.code, failure.read(), failure.headers


@pytest.mark.parametrize(
    ("operation", "body", "name"),
    [
        ("CreateKey", b"{}", "UnknownOperationException"),
        ("Encrypt", b"{", "SerializationException"),
        ("Encrypt", b"[]", "ValidationException"),
        ("Encrypt", b"[" * 100_000, "SerializationException"),
        ("Encrypt", b'{"KeyId": 1, "Plaintext": "eA=="}', "ValidationException"),
        ("Decrypt", b'{"CiphertextBlob": "%"}', "ValidationException"),
        ("Decrypt", b'{"CiphertextBlob": "eA==", "Recipient": {}}', "ValidationException"),
    ],
)
def test_a_request_that_is_not_one_is_refused_by_name(
    cloud: Cloud, operation: str, body: bytes, name: str
) -> None:
    status, answer, _ = post(cloud, operation, body)
    assert (status, json.loads(answer)["__type"]) == (400, name)


def test_a_request_that_is_not_signed_is_refused_before_it_is_read(cloud: Cloud) -> None:
    status, answer, _ = post(cloud, "Encrypt", b"{", sign=False)
    assert (status, json.loads(answer)["__type"]) == (400, "MissingAuthenticationTokenException")
    status, answer, _ = post(cloud, "Encrypt", b"{", sign=False, Authorization="AWS4-HMAC-SHA256 no")
    assert (status, json.loads(answer)["__type"]) == (400, "IncompleteSignatureException")


def test_a_request_signed_ten_minutes_ago_is_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    past = datetime.now(UTC) - timedelta(minutes=10)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: past.replace(tzinfo=None))
    status, answer, _ = post(cloud, "GenerateRandom", b'{"NumberOfBytes": 1}')
    refusal = json.loads(answer)
    assert (status, refusal["__type"]) == (400, "InvalidSignatureException")
    assert refusal["message"].startswith("Signature expired: ")


def test_an_overlong_body_is_refused(cloud: Cloud) -> None:
    status, *_ = post(cloud, "Encrypt", bytes(2 << 20), sign=False)
    assert status == 413


def test_its_log_tells_what_was_asked_and_no_secret(cloud: Cloud, kms: Client) -> None:
    kms.encrypt(KeyId=KEY_ID, Plaintext=b"the plaintext")
    log = "".join(cloud.kms.printed())
    assert re.search(r"Encrypt ok$", log, re.MULTILINE)
    for secret in (ACCESS.secret_access_key, ACCESS.session_token, "the plaintext"):
        assert secret
        assert secret not in log


def test_its_certificate_is_for_localhost_names_under_a_ca_that_may_name_nothing_else(cloud: Cloud) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(cloud.ca), "-noout", "-text"], capture_output=True, check=True
    ).stdout.decode()
    assert re.search(r"Name Constraints: critical\s+Permitted:\s+DNS:localhost", shown)
    assert "NOT GENUINE" in shown
    server = cloud.folder / "kms" / "server.pem"
    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", str(cloud.ca), str(server)],
        capture_output=True,
        check=False,
    )
    assert verified.returncode == 0, verified
