"""KMS bodies against botocore's own serializer and parser, and the rules that keep a secret a secret."""

import base64
import json
from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import (
    DeniedError,
    IntegrityError,
    MalformedError,
    SignatoryError,
    UnavailableError,
)
from signatory.nitro import kms
from signatory.nitro.kms_errors import KmsError, decode_error, encode_error, error

ARN = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = "arn:aws:kms:us-west-2:111122223333:key/00000000-12ab-34cd-56ef-1234567890ab"
KEY = kms.Arn.parse(ARN)
DOCUMENT = b"\x84D document"
RECIPIENT = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": DOCUMENT}

REQUESTS: list[tuple[kms.Request, dict[str, Any]]] = [
    (kms.Encrypt(ARN, b"plain"), {"KeyId": ARN, "Plaintext": b"plain"}),
    (
        kms.Encrypt("alias/x", b"p", {"user_id": "u"}),
        {"KeyId": "alias/x", "Plaintext": b"p", "EncryptionContext": {"user_id": "u"}},
    ),
    (kms.Decrypt(b"blob"), {"CiphertextBlob": b"blob"}),
    (
        kms.Decrypt(b"blob", ARN, {"a": "ä", "b": ""}, DOCUMENT),
        {
            "CiphertextBlob": b"blob",
            "KeyId": ARN,
            "EncryptionContext": {"a": "ä", "b": ""},
            "Recipient": RECIPIENT,
        },
    ),
    (
        kms.GenerateDataKey(ARN, 32, {}, DOCUMENT),
        {"KeyId": ARN, "KeySpec": "AES_256", "Recipient": RECIPIENT},
    ),
    (kms.GenerateDataKey(ARN, 64), {"KeyId": ARN, "NumberOfBytes": 64}),
    (kms.GenerateRandom(1024, DOCUMENT), {"NumberOfBytes": 1024, "Recipient": RECIPIENT}),
    (kms.GenerateRandom(1), {"NumberOfBytes": 1}),
]

ENVELOPE = kms.Secret(None, b"envelope")
REPLIES: list[tuple[kms.Request, kms.Reply, dict[str, Any]]] = [
    (
        kms.Encrypt(ARN, b"p"),
        kms.Encrypted(b"blob", KEY),
        {"CiphertextBlob": b"blob", "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
    ),
    (
        kms.Decrypt(b"blob", ARN),
        kms.Decrypted(kms.Secret(b"plain"), KEY),
        {"Plaintext": b"plain", "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
    ),
    (
        kms.Decrypt(b"blob", None, {}, DOCUMENT),
        kms.Decrypted(ENVELOPE, KEY),
        {"CiphertextForRecipient": b"envelope", "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
    ),
    (
        kms.GenerateDataKey(ARN, 16),
        kms.DataKey(kms.Secret(bytes(16)), b"blob", KEY),
        {"Plaintext": bytes(16), "CiphertextBlob": b"blob", "KeyId": ARN},
    ),
    (
        kms.GenerateDataKey("alias/x", 32, {}, DOCUMENT),
        kms.DataKey(ENVELOPE, b"blob", KEY),
        {"CiphertextForRecipient": b"envelope", "CiphertextBlob": b"blob", "KeyId": ARN},
    ),
    (kms.GenerateRandom(3), kms.Secret(b"abc"), {"Plaintext": b"abc"}),
    (kms.GenerateRandom(3, DOCUMENT), ENVELOPE, {"CiphertextForRecipient": b"envelope"}),
]


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.get_session().get_service_model("kms")


def _operation(model: Any, request_: kms.Request) -> Any:
    return model.operation_model(type(request_).__name__)


@pytest.mark.parametrize(("request_", "parameters"), REQUESTS)
def test_a_request_says_what_botocore_says_and_is_read_from_it(
    request_: kms.Request, parameters: dict[str, Any], model: Any
) -> None:
    serializer = botocore.serialize.create_serializer("json")
    theirs = serializer.serialize_to_request(parameters, _operation(model, request_))
    assert json.loads(kms.encode_request(request_)) == json.loads(theirs["body"])
    assert kms.target_of(request_) == theirs["headers"]["X-Amz-Target"]
    assert theirs["headers"]["Content-Type"] == kms.CONTENT_TYPE
    assert kms.decode_request(theirs["headers"]["X-Amz-Target"], theirs["body"]) == request_


@pytest.mark.parametrize(("request_", "reply", "members"), REPLIES)
def test_a_reply_is_what_botocore_reads_and_is_read_back(
    request_: kms.Request, reply: kms.Reply, members: dict[str, Any], model: Any
) -> None:
    body = kms.encode_reply(reply)
    parsed = botocore.parsers.create_parser("json").parse(
        {"status_code": 200, "headers": {}, "body": body}, _operation(model, request_).output_shape
    )
    parsed.pop("ResponseMetadata")
    assert parsed == members
    assert kms.decode_reply(request_, body) == reply


def test_beside_an_envelope_plaintext_is_null() -> None:
    assert json.loads(kms.encode_reply(kms.Decrypted(ENVELOPE, KEY)))["Plaintext"] is None


def _body(**members: object) -> bytes:
    plain = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in members.items()
    }
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (kms.Decrypt(b"b", ARN, {}, DOCUMENT), _body(Plaintext=b"p", KeyId=ARN)),
        (
            kms.Decrypt(b"b", ARN, {}, DOCUMENT),
            _body(Plaintext=b"p", CiphertextForRecipient=b"e", KeyId=ARN),
        ),
        (kms.Decrypt(b"b", ARN, {}, DOCUMENT), _body(Plaintext=None, KeyId=ARN)),
        (kms.Decrypt(b"b", ARN), _body(CiphertextForRecipient=b"e", KeyId=ARN)),
        (kms.Decrypt(b"b", ARN), _body(Plaintext=b"p", KeyId=OTHER)),
        (kms.Encrypt(ARN, b"p"), _body(CiphertextBlob=b"b", KeyId=OTHER)),
        (kms.GenerateDataKey(ARN), _body(Plaintext=bytes(31), CiphertextBlob=b"b", KeyId=ARN)),
        (kms.GenerateRandom(8), _body(Plaintext=bytes(7))),
        (kms.GenerateRandom(8, DOCUMENT), _body(Plaintext=bytes(8))),
    ],
)
def test_the_answer_to_something_else_is_an_integrity_error(request_: kms.Request, body: bytes) -> None:
    with pytest.raises(IntegrityError):
        kms.decode_reply(request_, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"KeyId":"x","KeyId":"y"}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b"1" * 5000,
        _body(Plaintext=b"p"),
        _body(Plaintext=b"p", KeyId="alias/x"),
        _body(Plaintext=b"p", KeyId=7),
        b'{"Plaintext":"not base64!","KeyId":"' + ARN.encode() + b'"}',
        b'{"Plaintext":"QUF=","KeyId":"' + ARN.encode() + b'"}',
        b'{"Plaintext":["QUE="],"KeyId":"' + ARN.encode() + b'"}',
        b" " * ((1 << 20) + 1),
    ],
)
def test_a_reply_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        kms.decode_reply(kms.Decrypt(b"blob", ARN), body)


@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_body_or_malformed(body: bytes) -> None:
    for request_, _ in REQUESTS:
        for read in (kms.decode_request, kms.decode_reply):
            subject: Any = kms.target_of(request_) if read is kms.decode_request else request_
            try:
                read(subject, body)
            except (MalformedError, IntegrityError):
                continue
    assert isinstance(decode_error(400, body), KmsError)


@given(
    members=st.dictionaries(
        st.sampled_from(
            [
                "KeyId",
                "Plaintext",
                "CiphertextBlob",
                "Recipient",
                "NumberOfBytes",
                "KeySpec",
                "EncryptionContext",
            ]
        ),
        st.none()
        | st.text(max_size=8)
        | st.integers()
        | st.floats(allow_nan=False)
        | st.booleans()
        | st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(), max_size=2)
        | st.lists(st.text(max_size=3), max_size=2),
    )
)
def test_any_members_are_a_request_or_malformed(members: dict[str, Any]) -> None:
    for target in kms.TARGETS:
        try:
            kms.decode_request(target, json.dumps(members).encode())
        except MalformedError:
            continue


@pytest.mark.parametrize(
    ("target", "members", "named"),
    [
        ("TrentService.ReEncrypt", {}, "ReEncrypt"),
        ("Decrypt", {}, "Decrypt"),
        ("TrentService.Encrypt", {"KeyId": ARN}, "Plaintext is missing"),
        ("TrentService.Encrypt", {"KeyId": ARN, "Plaintext": bytes(4097)}, "4096"),
        ("TrentService.Encrypt", {"Plaintext": b"p"}, "KeyId is missing"),
        ("TrentService.Encrypt", {"KeyId": ARN, "Plaintext": b"p", "Recipient": {}}, "'Recipient'"),
        (
            "TrentService.Encrypt",
            {"KeyId": ARN, "Plaintext": b"p", "EncryptionAlgorithm": "RSA"},
            "Algorithm",
        ),
        ("TrentService.Decrypt", {"CiphertextBlob": bytes(6145)}, "6144"),
        (
            "TrentService.Decrypt",
            {"CiphertextBlob": b"b", "EncryptionContext": {"a": 1}},
            "EncryptionContext",
        ),
        ("TrentService.Decrypt", {"CiphertextBlob": b"b", "EncryptionContext": {"a": "x" * 8192}}, "8192"),
        ("TrentService.Decrypt", {"CiphertextBlob": b"b", "DryRun": True}, "'DryRun'"),
        ("TrentService.Decrypt", {"CiphertextBlob": b"b", "Recipient": {}}, "KeyEncryptionAlgorithm"),
        (
            "TrentService.Decrypt",
            {"CiphertextBlob": b"b", "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}},
            "AttestationDocument is missing",
        ),
        ("TrentService.GenerateDataKey", {"KeyId": ARN}, "KeySpec"),
        (
            "TrentService.GenerateDataKey",
            {"KeyId": ARN, "KeySpec": "AES_256", "NumberOfBytes": 32},
            "KeySpec",
        ),
        ("TrentService.GenerateDataKey", {"KeyId": ARN, "KeySpec": "RSA_2048"}, "KeySpec"),
        ("TrentService.GenerateRandom", {"NumberOfBytes": 0}, "1024"),
        ("TrentService.GenerateRandom", {"NumberOfBytes": True}, "1024"),
        ("TrentService.GenerateRandom", {}, "NumberOfBytes is missing"),
    ],
)
def test_a_bad_request_names_what_is_wrong(target: str, members: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedError, match=named):
        kms.decode_request(target, _body(**members))


@pytest.mark.parametrize(
    "request_",
    [
        kms.Encrypt(ARN, b""),
        kms.Encrypt(ARN, bytes(4097)),
        kms.Decrypt(b""),
        kms.Decrypt(bytes(6145)),
        kms.Decrypt(b"b", None, {"a": "x" * 8192}),
        kms.Decrypt(b"b", None, {}, bytes(262145)),
        kms.GenerateDataKey(ARN, 0),
        kms.GenerateRandom(1025),
    ],
)
def test_a_request_past_a_limit_is_not_made(request_: kms.Request) -> None:
    with pytest.raises(MalformedError, match="expected 1 to"):
        kms.encode_request(request_)


@pytest.mark.parametrize(
    ("name", "family", "status", "retryable"),
    [
        ("AccessDeniedException", DeniedError, 400, False),
        ("InvalidCiphertextException", IntegrityError, 400, False),
        ("IncorrectKeyException", IntegrityError, 400, False),
        ("ThrottlingException", UnavailableError, 400, True),
        ("KMSInternalException", UnavailableError, 500, True),
        ("KeyUnavailableException", UnavailableError, 500, True),
        ("DependencyTimeoutException", UnavailableError, 503, True),
        ("ExpiredTokenException", UnavailableError, 400, False),
        ("UnrecognizedClientException", UnavailableError, 400, False),
        ("InvalidSignatureException", UnavailableError, 400, False),
        ("NotFoundException", UnavailableError, 400, False),
        ("DisabledException", UnavailableError, 400, False),
        ("ValidationException", UnavailableError, 400, False),
    ],
)
def test_each_refusal_has_its_family_and_botocore_reads_it(
    name: str, family: type[SignatoryError], status: int, retryable: bool, model: Any
) -> None:
    made = error(name, "words")
    assert isinstance(made, family)
    assert (made.kind, made.status, made.retryable) == (family.kind, status, retryable)
    body = encode_error(made)
    theirs = botocore.parsers.create_parser("json").parse(
        {"status_code": status, "headers": {}, "body": body}, model.operation_model("Decrypt").output_shape
    )
    assert theirs["Error"]["Code"] == name
    assert theirs["Error"]["Message"] == "words"
    read = decode_error(status, body)
    assert (type(read), read.name, read.kms_message, read.status) == (type(made), name, "words", status)


def test_only_an_expired_token_asks_for_new_credentials() -> None:
    assert error("ExpiredTokenException", "").expired
    assert not error("AccessDeniedException", "").expired


def test_a_denial_says_to_compare_pcr0_with_the_policy() -> None:
    hint = error("AccessDeniedException", "no").hint
    assert hint is not None
    assert "PCR0" in hint
    assert "policy" in hint


@pytest.mark.parametrize(
    ("status", "body", "name", "retryable"),
    [
        (502, b"<html>Bad Gateway</html>", "UnknownError", True),
        (429, b"", "UnknownError", True),
        (400, b"{}", "UnknownError", False),
        (400, b'{"__type":"com.amazonaws.kms#NotFoundException","Message":"m"}', "NotFoundException", False),
        (400, b'{"__type":"ThrottlingException:http://x/","message":"m"}', "ThrottlingException", True),
        (400, b'{"__type":"a b\\u001b[2J","message":"\\u001b[2J"}', "UnknownError", False),
    ],
)
def test_any_refusal_is_read(status: int, body: bytes, name: str, retryable: bool) -> None:
    read = decode_error(status, body)
    assert (read.name, read.status, read.retryable) == (name, status, retryable)
    assert str(read).isprintable()


@pytest.mark.parametrize(
    "region", ["us-west-2", "eu-central-1", "ap-southeast-3", "us-gov-west-1", "us-iso-east-1"]
)
def test_a_region_gives_its_host(region: str) -> None:
    assert kms.host_of(region) == f"kms.{region}.amazonaws.com"


def test_china_has_its_own_suffix() -> None:
    assert kms.host_of("cn-north-1") == "kms.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    "region",
    [
        "",
        "us-east-1.evil",
        "x@attacker.com:443/#",
        "us-east-1\n",
        "US-EAST-1",
        "us-east",
        "useast1",
        "us--1",
        "us-east-1/",
        "us-" + "a" * 40 + "-1",
        "us-\u0430-1",
        "us-east-\u0661",
    ],
)
def test_what_is_no_region_never_becomes_a_host(region: str) -> None:
    with pytest.raises(MalformedError):
        kms.host_of(region)


@pytest.mark.parametrize(
    "text",
    [
        ARN,
        "arn:aws-cn:kms:cn-north-1:000000000000:key/mrk-" + "0a" * 16,
        ARN.replace("arn:aws:", "arn:aws-us-gov:"),
    ],
)
def test_an_arn_comes_back_as_it_was(text: str) -> None:
    assert str(kms.Arn.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alias/x",
        ARN.partition("/")[2],
        ARN.replace("key/", "alias/"),
        ARN.upper(),
        ARN + "\n",
        ARN + "0",
        " " + ARN,
        ARN.replace("us-west-2", "us-west-2.evil"),
        ARN.replace("us-west-2", "uswest2"),
        ARN.replace("us-west-2", ""),
        ARN.replace("111122223333", "11112222333"),
        ARN.replace(":kms:", ":s3:"),
        ARN.replace("arn:aws:", "arn:evil:"),
    ],
)
def test_anything_but_the_full_arn_of_a_key_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        kms.Arn.parse(text)


@given(text=st.text(max_size=80))
def test_any_text_is_an_arn_or_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        kms.Arn.parse(text)


def test_no_secret_is_shown() -> None:
    for value in (kms.Encrypt(ARN, b"hunter2"), kms.Decrypted(kms.Secret(b"hunter2"), KEY)):
        assert "hunter2" not in repr(value)
