"""Requests, against the bytes of the reference: what its client sends, what its server takes and refuses."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import MalformedError
from signatory.rpc.messages import (
    Credentials,
    Generate,
    GenerateAndImport,
    GetPublicKey,
    GetPublicKeyFrom,
    Import,
    ImportUnencrypted,
    Initialize,
    ProvePossession,
    Request,
    Sign,
    SignWith,
    decode_request,
    encode_request,
)

V2, LATEST = SigningVersion.V2, SigningVersion.LATEST
CREDENTIALS = Credentials("AKID", "secret", "token", "key-id", "us-west-2")

# The reference's own emission: variant, fields in declaration order, minimal integers, definite lengths.
GOLDEN: list[tuple[Request, str]] = [
    (Import(b"\x01\x02\x03"), "a166496d706f727443010203"),
    (Generate(KeyType.BLS), "a16847656e657261746563426c73"),
    (Generate(KeyType.SECP256K1), "a16847656e657261746569536563703235366b31"),
    (GenerateAndImport(KeyType.P256), "a17147656e6572617465416e64496d706f7274684e69737450323536"),
    (
        GenerateAndImport(KeyType.ED25519),
        "a17147656e6572617465416e64496d706f7274674564323535313 9".replace(" ", ""),
    ),
    (Generate(KeyType.MLDSA44), "a16847656e6572617465674d6c4473613434"),
    (Generate(KeyType.MLDSA65), "a16847656e6572617465674d6c4473613635"),
    (Generate(KeyType.MLDSA87), "a16847656e6572617465674d6c4473613837"),
    (
        ImportUnencrypted(KeyType.ED25519, b"\x11" * 32),
        "a171496d706f7274556e656e63727970746564a167456432353531395820" + "11" * 32,
    ),
    (
        Sign(0, b"\x01\x02", V2),
        "a1645369676ea36668616e646c6500676d6573736167654201026776657273696f6e02",
    ),
    (
        SignWith(b"\x09", b"\x01\x02", SigningVersion.V1),
        (
            "a1685369676e57697468a375656e637279707465645f707269766174655f6b65794109"
            "676d6573736167654201026776657273696f6e01"
        ),
    ),
    (GetPublicKey(0), "a1695075626c69634b657900"),
    (GetPublicKey(1000), "a1695075626c69634b65791903e8"),
    (GetPublicKeyFrom(b"\x07"), "a16d5075626c69634b657946726f6d4107"),
    (ProvePossession(5), "a16f50726f7665506f7373657373696f6e05"),
    (
        Initialize(CREDENTIALS),
        (
            "a16a496e697469616c697a65a56d6163636573735f6b65795f696464414b4944717365637265745f6163636573735f6b6579"
            "667365637265746d73657373696f6e5f746f6b656e65746f6b656e71656e6372797074696f6e5f6b65795f6964666b65792d6964"
            "66726567696f6e6975732d776573742d32"
        ),
    ),
]


@pytest.mark.parametrize(("request_", "encoded"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_request_is_written_as_the_reference_writes_it(request_: Request, encoded: str) -> None:
    assert encode_request(request_).hex() == encoded


@pytest.mark.parametrize(("request_", "encoded"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_request_is_read_from_the_bytes_of_the_reference(request_: Request, encoded: str) -> None:
    assert decode_request(bytes.fromhex(encoded)) == request_


def test_the_sign_request_of_the_sheet_asks_for_the_latest_version() -> None:
    body = "a1645369676ea36668616e646c6500676d6573736167654201026776657273696f6e18ff"
    assert decode_request(bytes.fromhex(body)) == Sign(0, b"\x01\x02", LATEST)


# Bodies of the reference's stored files that today's server still takes.
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a16847656e657261746569536563703235366b31", Generate(KeyType.SECP256K1)),
        ("a17147656e6572617465416e64496d706f727469536563703235366b31", GenerateAndImport(KeyType.SECP256K1)),
        ("a166496d706f727489000102030405060708", Import(bytes(range(9)))),
        ("a1695075626c69634b657900", GetPublicKey(0)),
        ("a16d5075626c69634b657946726f6d89000102030405060708", GetPublicKeyFrom(bytes(range(9)))),
    ],
)
def test_the_stored_requests_that_are_still_valid_are_read(body: str, expected: Request) -> None:
    assert decode_request(bytes.fromhex(body)) == expected


def _initialize(**changed: object) -> bytes:
    fields: dict[str, object] = {
        "access_key_id": "AKID",
        "secret_access_key": "secret",
        "session_token": "token",
        "encryption_key_id": "key-id",
        "region": "us-west-2",
    }
    fields |= changed
    return cbor2.dumps({"Initialize": {name: value for name, value in fields.items() if value is not ...}})


@pytest.mark.parametrize("token", [None, ..., cbor2.undefined])
def test_a_session_token_may_be_null_undefined_or_left_out(token: object) -> None:
    found = decode_request(_initialize(session_token=token))
    assert found == Initialize(Credentials("AKID", "secret", None, "key-id", "us-west-2"))


def test_without_a_token_null_is_sent() -> None:
    body = encode_request(Initialize(Credentials("a", "b", None, "c", "d")))
    assert bytes.fromhex("6d73657373696f6e5f746f6b656ef6") in body


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key", "encryption_key_id", "region"])
def test_a_missing_credential_is_named(name: str) -> None:
    with pytest.raises(MalformedError, match=f'^Semantic\\(None, "missing field `{name}`"\\)$'):
        decode_request(_initialize(**{name: ...}))


def test_the_old_initialize_with_three_fields_is_refused() -> None:
    with pytest.raises(MalformedError, match="missing field `encryption_key_id`"):
        decode_request(_initialize(encryption_key_id=..., region=...))


def test_unknown_fields_are_ignored() -> None:
    assert decode_request(_initialize(colour={"deep": [1.5, None]})) == Initialize(CREDENTIALS)
    body = cbor2.dumps({"Sign": {"x": 1, "handle": 3, "message": b"m", "version": 2}})
    assert decode_request(body) == Sign(3, b"m", V2)


SIGN = "a1645369676ea36668616e646c6500676d6573736167654201026776657273696f6e02"
EXPECTED = Sign(0, b"\x01\x02", V2)


@pytest.mark.parametrize(
    "body",
    [
        "d9d9f7" + SIGN,
        "d9d9f7d9d9f7" + SIGN,
        SIGN + "00",
        SIGN + "ffffff",
        "a1645369676ebf6668616e646c6500676d6573736167654201026776657273696f6e02ff",
        "a1445369676ea34668616e646c6500476d6573736167654201024776657273696f6e02",
        "a1645369676e83004201 0202",
        "a1645369676e9f00420102 02ff",
        "a1645369676e8300820102 02",
        "a1645369676e83009f0102ff 02",
        "a1645369676e8300 82 1801 190002 02",
        "a1645369676e831b0000000000000000420102 1802",
        "a1645369676e83c240420102 c24102",
        "a1645369676e83d81e00 d82a420102 d9d9f702",
        "a1645369676e83c24100 c2420102 02",
    ],
    ids=[
        "a tag in front",
        "two tags in front",
        "a byte behind",
        "breaks behind",
        "an indefinite inner map",
        "names as byte strings",
        "a positional array",
        "an indefinite positional array",
        "bytes as an array",
        "bytes as an indefinite array",
        "array elements longer than needed",
        "integers longer than needed",
        "integers as bignums",
        "tags on fields",
        "a bignum where bytes are due",
    ],
)
def test_what_the_reference_takes_is_taken(body: str) -> None:
    assert decode_request(bytes.fromhex(body)) == EXPECTED


def test_a_sign_with_may_be_positional_too() -> None:
    assert decode_request(cbor2.dumps({"SignWith": [b"blob", b"m", 0]})) == SignWith(
        b"blob", b"m", SigningVersion.V0
    )


def test_a_key_type_may_be_a_map_to_null() -> None:
    assert decode_request(bytes.fromhex("a16847656e6572617465a163426c73f6")) == Generate(KeyType.BLS)


def test_a_message_above_4096_bytes_is_taken_in_either_form() -> None:
    message = bytes(range(256)) * 17
    for form in (message, list(message)):
        body = cbor2.dumps({"Sign": {"handle": 0, "message": form, "version": 2}})
        assert decode_request(body) == Sign(0, message, V2)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", 'Io(Error { kind: UnexpectedEof, message: "failed to fill whole buffer" })'),
        (SIGN[:-2], 'Io(Error { kind: UnexpectedEof, message: "failed to fill whole buffer" })'),
        ("1c", "Syntax(0)"),
        ("ff", "Syntax(0)"),
        ("a161ff00", "Syntax(1)"),
        ("a0", 'Semantic(None, "invalid type: map, expected enum")'),
        ("a2645369676e00645369676e00", 'Semantic(None, "invalid type: map, expected enum")'),
        ("bf695075626c69634b657900ff", 'Semantic(None, "invalid type: map, expected enum")'),
        ("00", 'Semantic(None, "invalid type: integer, expected enum")'),
        ("a10000", 'Semantic(None, "invalid type: integer, expected str or bytes")'),
        ("695075626c69634b657900", 'Semantic(None, "invalid type: string, expected enum")'),
        ("a166496d706f7274f6", 'Semantic(None, "invalid type: null, expected bytes")'),
        ("a166496d706f72746178", 'Semantic(None, "invalid type: string, expected bytes")'),
        ("a166496d706f72745f4101ff", 'Semantic(None, "invalid type: bytes, expected bytes")'),
        ("a166496d706f727481190100", 'Semantic(None, "invalid value: integer `256`, expected u8")'),
        ("a166496d706f72748120", 'Semantic(None, "invalid value: integer `-1`, expected u8")'),
        ("a166496d706f727481f5", 'Semantic(None, "invalid type: boolean, expected u8")'),
        ("a1695075626c69634b6579f93c00", 'Semantic(None, "invalid type: float, expected u64")'),
        ("a1695075626c69634b657920", 'Semantic(None, "invalid value: integer `-1`, expected u64")'),
        ("a1695075626c69634b6579c249010000000000000000", 'Semantic(None, "integer too large")'),
        ("a1645369676e8300410103", 'Semantic(None, "invalid value: 3, expected one of: 0, 1, 2, 255")'),
        ("a1645369676e83004101190100", 'Semantic(None, "invalid value: 256, expected one of: 0, 1, 2, 255")'),
        ("a1645369676e83004101625631", 'Semantic(None, "invalid type: string, expected u8")'),
        ("a1645369676e83004101f6", 'Semantic(None, "invalid type: null, expected u8")'),
    ],
)
def test_what_the_reference_refuses_is_refused_in_its_words(body: str, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_request(bytes.fromhex(body))
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"Sign": {"handle": 0, "message": b""}}, "missing field `version`"),
        ({"Sign": {"handle": 0, "msg": b"", "version": 2}}, "missing field `message`"),
        ({"SignWith": {"key_data": b"", "msg": b"", "version": 2}}, "missing field `encrypted_private_key`"),
        ({"Sign": [0, b""]}, "invalid length 2"),
        ({"Initialize": ["a", "b", None, "c", "d"]}, "invalid type: array, expected struct Credentials"),
        (
            {"Generate": "bls"},
            "unknown variant `bls`, expected one of `Secp256k1`, `NistP256`, `Ed25519`, `Bls`",
        ),
        ({"Generate": {"Bls": 1}}, "invalid type: integer, expected unit"),
        ({"Shutdown": None}, "unknown variant `Shutdown`, expected one of `Initialize`"),
        (
            {"ImportUnencrypted": {"Ed25519": b"\x01" * 31}},
            "invalid length 31, expected a byte array of size 32",
        ),
        ({"ImportUnencrypted": {"MlDsa44": b"\x01" * 31}}, "expected a byte array of size 32 or 2560"),
    ],
)
def test_what_does_not_fit_is_named(value: object, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_request(cbor2.dumps(value))
    assert text in caught.value.message


def test_a_field_twice_is_named() -> None:
    body = bytes.fromhex("a1645369676ea36668616e646c65006668616e646c65006776657273696f6e02")
    with pytest.raises(MalformedError, match="duplicate field `handle`"):
        decode_request(body)


def test_nesting_is_bounded() -> None:
    with pytest.raises(MalformedError, match=r"^RecursionLimitExceeded$"):
        decode_request(bytes.fromhex("81" * 100_000 + "00"))
    with pytest.raises(MalformedError, match=r"^RecursionLimitExceeded$"):
        decode_request(bytes.fromhex("9f" * 100_000))


def test_a_frame_full_of_small_containers_is_refused_before_it_costs_memory() -> None:
    with pytest.raises(MalformedError, match=r"^RecursionLimitExceeded$"):
        decode_request(b"\x9a" + (500_000).to_bytes(4, "big") + b"\x80" * 500_000)


@pytest.mark.parametrize(
    "head", ["9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "7affffffff"]
)
def test_a_length_without_its_bytes_is_a_short_read(head: str) -> None:
    with pytest.raises(MalformedError, match="UnexpectedEof"):
        decode_request(bytes.fromhex(head))


def test_no_refusal_quotes_a_secret() -> None:
    for value in (
        {"ImportUnencrypted": {"Ed25519": "hunter2"}},
        {"ImportUnencrypted": {"Ed25519": b"hunter2"}},
        {"Initialize": {"secret_access_key": b"hunter2"}},
        {"Initialize": {"secret_access_key": ["hunter2"]}},
    ):
        with pytest.raises(MalformedError) as caught:
            decode_request(cbor2.dumps(value))
        assert "hunter2" not in str(caught.value)


def test_no_repr_shows_a_secret() -> None:
    shown = repr(
        [Initialize(CREDENTIALS), ImportUnencrypted(KeyType.ED25519, b"\x11" * 32), Import(b"\x11" * 32)]
    )
    for secret in ("AKID", "secret'", "token'", "\\x11"):
        assert secret not in shown


# What our driver may send to a reference peer.


@pytest.mark.parametrize("key_type", [None, KeyType.ED25519, KeyType.MLDSA44])
def test_the_latest_version_is_sent_as_2(key_type: KeyType | None) -> None:
    assert encode_request(Sign(0, b"\x01\x02", LATEST), key_type=key_type).hex() == SIGN


def test_a_message_of_4096_bytes_is_sent_as_bytes_and_a_longer_one_as_integers() -> None:
    sent = cbor2.loads(encode_request(Sign(0, b"\xff" * 4096)))
    assert sent["Sign"]["message"] == b"\xff" * 4096
    sent = cbor2.loads(encode_request(Sign(0, b"\xff" * 4097)))
    assert sent["Sign"]["message"] == [255] * 4097
    sent = cbor2.loads(encode_request(SignWith(b"\x01" * 4097, b"\xff" * 4097)))
    assert (sent["SignWith"]["encrypted_private_key"], sent["SignWith"]["message"]) == (
        [1] * 4097,
        [255] * 4097,
    )
    assert cbor2.loads(encode_request(Import(b"\x01" * 4097))) == {"Import": [1] * 4097}


@pytest.mark.parametrize("size", [4097, 65535, 65536])
def test_integers_are_sent_in_their_shortest_form(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    expected = cbor2.dumps({"Sign": {"handle": 7, "message": list(message), "version": 2}})
    assert encode_request(Sign(7, message)) == expected


def test_version_0_is_never_sent_for_a_bls_key() -> None:
    for request in (Sign(0, b"m", SigningVersion.V0), SignWith(b"b", b"m", SigningVersion.V0)):
        with pytest.raises(MalformedError, match="SigningVersion0 is not supported for BLS keys"):
            encode_request(request, key_type=KeyType.BLS)
        assert encode_request(request, key_type=KeyType.ED25519).endswith(bytes.fromhex("6776657273696f6e00"))


def _is_a_request_or_malformed(body: bytes) -> None:
    try:
        decode_request(body)
    except MalformedError:
        return


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(body: bytes) -> None:
    _is_a_request_or_malformed(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)
_NAMES = [
    "Initialize",
    "Import",
    "ImportUnencrypted",
    "Generate",
    "Sign",
    "SignWith",
    "PublicKey",
    "PublicKeyFrom",
]


@given(name=st.sampled_from(_NAMES), value=_JSON, flip=st.integers(min_value=0, max_value=2**16))
def test_any_value_under_a_known_name_is_a_request_or_malformed(name: str, value: object, flip: int) -> None:
    body = bytearray(cbor2.dumps({name: value}))
    _is_a_request_or_malformed(bytes(body))
    body[flip % len(body)] ^= 1 << (flip % 8)
    _is_a_request_or_malformed(bytes(body))
