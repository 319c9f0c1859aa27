"""The KMS emulator told to be hostile, and the operations that it decides without doing them; boto3 asks."""

import base64
import os
from collections.abc import Iterator
from typing import Any

import boto3
import cbor2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from Crypto.Cipher import AES, PKCS1_OAEP
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Util.Padding import unpad
from emulators import ACCESS, ACCOUNT, KEY_ARN, KEY_ID, REGION, ROLE, Emulators, control, short_folder
from laptop_processes import ask, prepare_tree

from signatory.nitro import keypolicy

OTHER_ARN = KEY_ARN.replace("1234", "9876")


class Cloud(Emulators):
    """NSM and KMS, and a recipient whose key is pycryptodome's."""

    key = RSA.generate(2048)
    client: Any

    def recipient(self) -> dict[str, Any]:
        public = self.key.public_key().export_key("DER")
        fields = {"user_data": None, "nonce": None, "public_key": public}
        reply = cbor2.loads(ask(self.folder / "nsm.sock", cbor2.dumps({"Attestation": fields})))
        document = reply["Attestation"]["document"]
        return {"AttestationDocument": document, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}

    def opened(self, envelope: bytes) -> bytes:
        """By hand: the 256 bytes after their header are the content key, what follows the IV is AES-CBC."""
        at = envelope.index(bytes.fromhex("04820100")) + 4
        content_key = PKCS1_OAEP.new(self.key, SHA256).decrypt(envelope[at : at + 256])
        at = envelope.index(bytes.fromhex("060960864801650304012a0410")) + 13
        iv, rest = envelope[at : at + 16], envelope[at + 16 :]
        assert rest[:3] == bytes.fromhex("a08004")
        chunk = rest[4 : 4 + rest[3]]
        return unpad(AES.new(content_key, AES.MODE_CBC, iv).decrypt(chunk), 16)


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    with short_folder() as folder, Cloud(folder, prepare_tree(folder)).running() as cloud:
        cloud.client = boto3.client(
            "kms",
            endpoint_url="https://localhost:" + cloud.kms.listening().rpartition(":")[2],
            verify=str(folder / "kms" / "ca.pem"),
            aws_access_key_id=ACCESS.access_key_id,
            aws_secret_access_key=ACCESS.secret_access_key,
            aws_session_token=ACCESS.session_token,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield cloud
        cloud.client.close()


@pytest.fixture
def cloud(running: Cloud) -> Cloud:
    running.tell("kms", do="clear")
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:*", "Resource": "*"}
    running.state.add_key(KEY_ID, {"Statement": [statement]})
    return running


def refused(call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_a_data_key_is_the_recipients_and_comes_back_in_its_context_alone(cloud: Cloud) -> None:
    context = {"key_id": "tz1abc"}
    made = cloud.client.generate_data_key(
        KeyId=KEY_ARN, KeySpec="AES_256", EncryptionContext=context, Recipient=cloud.recipient()
    )
    assert (made.get("Plaintext") or b"", made["KeyId"]) == (b"", KEY_ARN)
    data_key = cloud.opened(made["CiphertextForRecipient"])
    assert len(data_key) == 32
    blob = made["CiphertextBlob"]
    back = cloud.client.decrypt(
        KeyId=KEY_ARN, CiphertextBlob=blob, EncryptionContext=context, Recipient=cloud.recipient()
    )
    assert cloud.opened(back["CiphertextForRecipient"]) == data_key
    for wrong in ({}, {"key_id": "tz1abd"}, {"Key_id": "tz1abc"}, context | {"user_id": "u"}):
        code = refused(cloud.client.decrypt, KeyId=KEY_ARN, CiphertextBlob=blob, EncryptionContext=wrong)
        assert code == "InvalidCiphertextException"


def test_a_built_policy_holds_for_real_requests(cloud: Cloud) -> None:
    pcrs = cbor2.loads(cbor2.loads(cloud.recipient()["AttestationDocument"])[2])["pcrs"]
    image = {index: pcrs[index] for index in (0, 1, 2)}
    policy = keypolicy.build(
        account=ACCOUNT, enclave_role=ROLE, images=[image], context_keys=["key_id", "user_id"]
    )
    cloud.state.add_key(KEY_ID, policy)
    call = cloud.client.generate_data_key
    spec = {"KeyId": KEY_ARN, "KeySpec": "AES_256"}
    for context in ({"key_id": "k"}, {"user_id": "u"}):
        assert call(**spec, EncryptionContext=context, Recipient=cloud.recipient())["CiphertextForRecipient"]
        assert refused(call, **spec, EncryptionContext=context) == "AccessDeniedException"
    for context in ({}, {"other": "x"}, {"key_id": "k", "user_id": "u"}, {"KEY_ID": "k"}):
        code = refused(call, **spec, EncryptionContext=context, Recipient=cloud.recipient())
        assert code == "AccessDeniedException"
    assert refused(cloud.client.encrypt, KeyId=KEY_ARN, Plaintext=b"x") == "AccessDeniedException"
    cloud.state.add_key(
        KEY_ID, keypolicy.build(account=ACCOUNT, enclave_role=ROLE, images=[image | {1: b"x" * 48}])
    )
    assert refused(call, **spec, Recipient=cloud.recipient()) == "AccessDeniedException"


def test_it_names_another_key_as_told(cloud: Cloud) -> None:
    cloud.tell("kms", do="key", operation="GenerateDataKey", arn=OTHER_ARN)
    call = cloud.client.generate_data_key
    answers = [call(KeyId=KEY_ARN, KeySpec="AES_256")["KeyId"] for _ in range(2)]
    assert answers == [OTHER_ARN, KEY_ARN]
    cloud.tell("kms", do="key", operation="*", arn=OTHER_ARN, times=2)
    blob = cloud.client.encrypt(KeyId=KEY_ARN, Plaintext=b"x")
    assert blob["KeyId"] == OTHER_ARN
    assert cloud.client.decrypt(CiphertextBlob=blob["CiphertextBlob"])["KeyId"] == OTHER_ARN


def test_it_seals_the_parents_own_answer_to_the_recipient_as_told(cloud: Cloud) -> None:
    blob = cloud.client.encrypt(KeyId=KEY_ARN, Plaintext=b"the secret")["CiphertextBlob"]
    forged = os.urandom(10)
    cloud.tell("kms", do="forge", operation="Decrypt", plaintext=base64.b64encode(forged).decode())
    cloud.tell("kms", do="forge", operation="GenerateDataKey")
    answer = cloud.client.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())
    assert cloud.opened(answer["CiphertextForRecipient"]) == forged
    answer = cloud.client.decrypt(CiphertextBlob=blob, Recipient=cloud.recipient())
    assert cloud.opened(answer["CiphertextForRecipient"]) == b"the secret"
    made = cloud.client.generate_data_key(KeyId=KEY_ARN, KeySpec="AES_256", Recipient=cloud.recipient())
    plain = cloud.client.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]
    assert cloud.opened(made["CiphertextForRecipient"]) != plain


def test_one_action_is_denied_as_told_and_credentials_expire_for_one_call(cloud: Cloud) -> None:
    cloud.tell("kms", do="fail", operation="GenerateDataKey", error="AccessDeniedException")
    cloud.tell("kms", do="fail", operation="*", error="ExpiredTokenException")
    call = cloud.client.generate_data_key
    assert refused(call, KeyId=KEY_ARN, KeySpec="AES_256") == "AccessDeniedException"
    assert refused(call, KeyId=KEY_ARN, KeySpec="AES_256") == "ExpiredTokenException"
    assert call(KeyId=KEY_ARN, KeySpec="AES_256")["Plaintext"]


def test_calls_are_counted_by_action_whatever_comes_of_them(cloud: Cloud) -> None:
    before = cloud.calls("kms", "Decrypt"), cloud.calls("kms", "Encrypt")
    refused(cloud.client.decrypt, CiphertextBlob=b"no ciphertext")
    cloud.client.encrypt(KeyId=KEY_ARN, Plaintext=b"x")
    refused(cloud.client.decrypt, CiphertextBlob=b"no ciphertext")
    assert (cloud.calls("kms", "Decrypt"), cloud.calls("kms", "Encrypt")) == (before[0] + 2, before[1] + 1)


@pytest.mark.parametrize(
    "command",
    [
        {"do": "key", "arn": "arn:aws:kms:us-west-2:1:alias/x"},
        {"do": "key"},
        {"do": "forge", "plaintext": "%"},
        {"do": "forge", "plaintext": 7},
        {"do": "forge", "times": 0},
        {"do": "plaintext", "operation": 7},
    ],
)
def test_a_fault_that_is_not_understood_is_refused(cloud: Cloud, command: dict[str, Any]) -> None:
    assert "error" in control(cloud.folder / "kms" / "control", **command)
    assert cloud.tell("kms", do="status")["faults"] == []


PAIR = {"KeyId": KEY_ARN, "KeyPairSpec": "ECC_NIST_P256"}
DECIDED: list[tuple[str, dict[str, Any]]] = [
    ("generate_data_key_without_plaintext", {"KeyId": KEY_ARN, "KeySpec": "AES_256"}),
    ("generate_data_key_pair", PAIR),
    ("generate_data_key_pair_without_plaintext", PAIR),
    ("create_grant", {"KeyId": KEY_ID, "GranteePrincipal": ROLE, "Operations": ["Decrypt"], "DryRun": True}),
    ("put_key_policy", {"KeyId": KEY_ARN, "Policy": "{}"}),
    ("re_encrypt", {"CiphertextBlob": b"x", "SourceKeyId": KEY_ARN, "DestinationKeyId": KEY_ARN}),
    ("schedule_key_deletion", {"KeyId": KEY_ARN}),
]


@pytest.mark.parametrize(("operation", "members"), DECIDED)
def test_forbidden_operations_are_decided_and_never_done(
    cloud: Cloud, operation: str, members: dict[str, Any]
) -> None:
    before = cloud.state.find_key(KEY_ID)
    call = getattr(cloud.client, operation)
    assert refused(call, **members) == "UnsupportedOperationException"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    cloud.state.add_key(KEY_ID, {"Statement": [deny]})
    assert refused(call, **members) == "AccessDeniedException"
    after = cloud.state.find_key(KEY_ID)
    assert before is not None
    assert after is not None
    assert (after.state, after.material) == (before.state, before.material)


def test_re_encrypt_needs_both_of_its_actions(cloud: Cloud) -> None:
    operation, members = DECIDED[5]
    for action in ("kms:ReEncryptFrom", "kms:ReEncryptTo"):
        allow = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": action, "Resource": "*"}
        cloud.state.add_key(KEY_ID, {"Statement": [allow]})
        assert refused(getattr(cloud.client, operation), **members) == "AccessDeniedException"
