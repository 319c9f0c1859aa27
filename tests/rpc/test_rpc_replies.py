"""Replies, against the bytes of the reference, both ends."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, UnavailableError
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
    Reply,
    Request,
    Sign,
    Signed,
    SignWith,
    decode_reply,
    encode_error,
    encode_reply,
)

INITIALIZE = Initialize(Credentials("a", "b", None, "c", "d"))
SIGN = Sign(0, b"m")

# Over the message "text" with the seed 0x11 * 32: computed by another implementation.
ED25519_SIGNATURE = bytes.fromhex(
    "b35697c14f54d4828d8c6acd533d94bbc821af776a7f755064cfc6a87ec1b99c"
    "1e4878f741fbfd1ce44d187fb94d2cb2ccc202b1a6737c4ebc1821900fa4770e"
)
ED25519_ARRAY = (
    "984018b31856189718c1184f185418d41882188d188c186a18cd1853183d189418bb18c8182118af1877186a187f1875"
    "1850186418cf18c618a8187e18c118b9189c181e1848187818f7184118fb18fd181c18e4184d1818187f18b9184d182c"
    "18b218cc18c20218b118a61873187c184e18bc1818182118900f18a418770e"
)

GOLDEN: list[tuple[Request, Reply, str]] = [
    (INITIALIZE, None, "a1624f6bf6"),
    (
        Import(b"x"),
        Imported(KeyType.ED25519, b"\x22" * 32, 0),
        "a1624f6ba26a7075626c69635f6b6579a167456432353531395820" + "22" * 32 + "6668616e646c6500",
    ),
    (
        Generate(KeyType.SECP256K1),
        Generated(KeyType.SECP256K1, b"\x02" * 33, b"\x01\x02"),
        "a1624f6ba275656e637279707465645f707269766174655f6b6579420102"
        "6a7075626c69635f6b6579a169536563703235366b315821" + "02" * 33,
    ),
    (
        GenerateAndImport(KeyType.BLS),
        Generated(KeyType.BLS, b"\x05" * 48, b"\x01", 24),
        "a1624f6ba375656e637279707465645f707269766174655f6b65794101"
        "6a7075626c69635f6b6579a163426c735830" + "05" * 48 + "6668616e646c651818",
    ),
    (SIGN, Signed(KeyType.ED25519, ED25519_SIGNATURE), "a1624f6ba16745643235353139" + ED25519_ARRAY),
    (SIGN, Signed(KeyType.P256, b"\x07" * 64), "a1624f6ba1684e697374503235365840" + "07" * 64),
    (SIGN, Signed(KeyType.BLS, b"\x08" * 96), "a1624f6ba163426c735860" + "08" * 96),
    (SIGN, Signed(KeyType.MLDSA87, b"\x08" * 4627), "a1624f6ba1674d6c4473613837591213" + "08" * 4627),
    (
        GetPublicKey(0),
        Public(KeyType.P256, b"\x03" * 33),
        "a1624f6ba1684e697374503235365821" + "03" * 33,
    ),
    (ProvePossession(0), Proof(b"\x09" * 96), "a1624f6ba163426c735860" + "09" * 96),
]


@pytest.mark.parametrize(("request_", "reply", "encoded"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_reply_is_written_as_the_reference_writes_it(request_: Request, reply: Reply, encoded: str) -> None:
    assert encode_reply(reply).hex() == encoded


@pytest.mark.parametrize(("request_", "reply", "encoded"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_reply_is_read_from_the_bytes_of_the_reference(
    request_: Request, reply: Reply, encoded: str
) -> None:
    assert decode_reply(request_, bytes.fromhex(encoded)) == reply


@pytest.mark.parametrize(("request_", "reply"), [row[:2] for row in GOLDEN if row[1] is not None])
def test_every_byte_field_of_a_reply_may_be_an_array(request_: Request, reply: Reply) -> None:
    as_arrays = cbor2.loads(encode_reply(reply))

    def spread(value: object) -> object:
        if isinstance(value, dict):
            return {name: spread(inner) for name, inner in value.items()}
        return list(value) if isinstance(value, bytes) else value

    assert decode_reply(request_, cbor2.dumps(spread(as_arrays))) == reply


def test_an_ed25519_signature_may_be_a_byte_string() -> None:
    body = cbor2.dumps({"Ok": {"Ed25519": ED25519_SIGNATURE}})
    assert decode_reply(SIGN, body) == Signed(KeyType.ED25519, ED25519_SIGNATURE)


def test_an_error_carries_its_sources_and_ends_with_null() -> None:
    # The stored reply_import_err of the reference.
    body = bytes.fromhex(
        "a163457272a2676d657373616765686d6573736167653066736f75726365a2676d657373616765686d65737361676531"
        "66736f75726365f6"
    )
    assert len(body) == 56
    assert encode_error(("message0", "message1")) == body
    with pytest.raises(RemoteError) as caught:
        decode_reply(Import(b"x"), body)
    assert caught.value.chain == ("message0", "message1")
    assert str(caught.value) == "message0: message1"
    assert isinstance(caught.value, UnavailableError)


def test_the_source_of_an_error_may_be_left_out() -> None:
    with pytest.raises(RemoteError, match=r"^uninitialized$"):
        decode_reply(SIGN, cbor2.dumps({"Err": {"message": "uninitialized"}}))


def test_a_remote_error_can_be_asked_for_words() -> None:
    error = RemoteError(("encryption error", "ExpiredTokenException: expired"))
    assert error.mentions("ExpiredTokenException")
    assert not error.mentions("AccessDenied")


def test_what_an_enclave_says_cannot_forge_log_lines_or_fill_them() -> None:
    with pytest.raises(RemoteError) as caught:
        decode_reply(SIGN, cbor2.dumps({"Err": {"message": "a\nb\x1b[0m" + "x" * 2000, "source": None}}))
    assert caught.value.chain[0].startswith("a?b?[0mx")
    assert len(caught.value.chain[0]) <= 503


@pytest.mark.parametrize(
    ("request_", "value"),
    [
        (INITIALIZE, {"Ok": 1}),
        (Import(b""), {"Ok": None}),
        (Import(b""), {}),
        (Import(b""), {"Ok": {"public_key": {"Ed25519": b"\x01" * 32}}}),
        (Import(b""), {"Ok": [{"Ed25519": b"\x01" * 32}, 0]}),
        (Import(b""), {"Ok": {"public_key": {"Ed25519": b"\x01" * 33}, "handle": 0}}),
        (
            Generate(KeyType.BLS),
            {"Ok": {"encrypted_private_key": b"", "public_key": {"Ed25519": b"\x01" * 32}}},
        ),
        (
            ImportUnencrypted(KeyType.BLS, b""),
            {"Ok": {"encrypted_private_key": b"1", "public_key": {"Ed25519": b"\x01" * 32}}},
        ),
        (SIGN, {"Ok": {"Ed25519": b"\x01" * 63}}),
        (SIGN, {"Ok": {"Ed448": b"\x01" * 64}}),
        (SIGN, {"Ok": {"Bls": b"\x01" * 96, "Ed25519": b"\x01" * 64}}),
        (SignWith(b"", b""), {"Ok": b"\x01" * 64}),
        (GetPublicKeyFrom(b""), {"Ok": {"Ed25519": b"\x01" * 64}}),
        (ProvePossession(0), {"Ok": {"Ed25519": b"\x01" * 96}}),
        (SIGN, {"Err": None}),
        (SIGN, {"Err": "text"}),
        (SIGN, {"Err": {"message": 1, "source": None}}),
        (SIGN, {"Perhaps": None}),
        (SIGN, None),
    ],
)
def test_what_is_no_reply_to_the_request_is_an_integrity_error(request_: Request, value: object) -> None:
    with pytest.raises(IntegrityError, match="the enclave's reply to"):
        decode_reply(request_, cbor2.dumps(value))


def test_a_long_chain_of_errors_is_cut_short_and_says_so() -> None:
    error: object = None
    for number in reversed(range(60)):
        error = {"message": str(number) + "x" * 2000, "source": error}
    with pytest.raises(RemoteError) as caught:
        decode_reply(SIGN, cbor2.dumps({"Err": error}))
    assert [link[:3] for link in caught.value.chain[:3]] == ["0xx", "1xx", "2xx"]
    assert caught.value.chain[-1] == "and 48 more"
    assert len(caught.value.message) < 7000


def test_an_endless_chain_of_errors_is_refused() -> None:
    link = bytes.fromhex("a2676d6573736167656066736f75726365")
    with pytest.raises(IntegrityError, match="RecursionLimitExceeded"):
        decode_reply(SIGN, bytes.fromhex("a163457272") + link * 5000 + b"\xf6")


_REQUESTS = st.sampled_from([row[0] for row in GOLDEN])


@given(request=_REQUESTS, body=st.binary(max_size=120), start=st.sampled_from(["", "a1624f6b", "a163457272"]))
def test_any_bytes_are_a_reply_or_an_error_of_ours(request: Request, body: bytes, start: str) -> None:
    try:
        decode_reply(request, bytes.fromhex(start) + body)
    except (RemoteError, IntegrityError):
        return


@given(row=st.sampled_from(GOLDEN), flip=st.integers(min_value=0, max_value=2**20))
def test_a_flipped_bit_in_a_reply_is_a_reply_or_an_error_of_ours(
    row: tuple[Request, Reply, str], flip: int
) -> None:
    body = bytearray.fromhex(row[2])
    body[flip // 8 % len(body)] ^= 1 << (flip % 8)
    try:
        decode_reply(row[0], bytes(body))
    except (RemoteError, IntegrityError):
        return
