"""PKCS#8 and SEC 1 files, made by the cryptography package and by hand, whole and spoilt."""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from Crypto.IO import PKCS8
from cryptography.hazmat.primitives.asymmetric import ec, ed448, mldsa, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87  # type: ignore[import-untyped]  # the package has no types
from hypothesis import given, settings
from hypothesis.strategies import DataObject, binary, data, integers, text

from signatory.crypto import pkcs8
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import MalformedError

SECRET = bytes(range(1, 33))
ED25519 = bytes.fromhex("06032b6570")
EC = bytes.fromhex("06072a8648ce3d0201")
P256 = bytes.fromhex("06082a8648ce3d030107")
K256 = bytes.fromhex("06052b8104000a")
P384 = bytes.fromhex("06052b81040022")
MLDSA = {
    KeyType.MLDSA44: (bytes.fromhex("0609608648016503040311"), ML_DSA_44, "ML-DSA-44"),
    KeyType.MLDSA65: (bytes.fromhex("0609608648016503040312"), ML_DSA_65, "ML-DSA-65"),
    KeyType.MLDSA87: (bytes.fromhex("0609608648016503040313"), ML_DSA_87, "ML-DSA-87"),
}
SIZES = {
    KeyType.MLDSA44: (54, 2588, 2626),
    KeyType.MLDSA65: (54, 4060, 4098),
    KeyType.MLDSA87: (54, 4924, 4962),
}
OPENSSL: dict[KeyType, Any] = {
    KeyType.ED25519: Ed25519PrivateKey.from_private_bytes(SECRET),
    KeyType.P256: ec.derive_private_key(int.from_bytes(SECRET, "big"), ec.SECP256R1()),
    KeyType.SECP256K1: ec.derive_private_key(int.from_bytes(SECRET, "big"), ec.SECP256K1()),
    KeyType.MLDSA44: mldsa.MLDSA44PrivateKey.from_seed_bytes(SECRET),
    KeyType.MLDSA65: mldsa.MLDSA65PrivateKey.from_seed_bytes(SECRET),
    KeyType.MLDSA87: mldsa.MLDSA87PrivateKey.from_seed_bytes(SECRET),
}
every = pytest.mark.parametrize("key_type", list(OPENSSL), ids=[item.value for item in OPENSSL])
each_mldsa = pytest.mark.parametrize("key_type", list(MLDSA), ids=[item.value for item in MLDSA])


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def info(algorithm: bytes, private: bytes, *rest: bytes, version: int = 0) -> bytes:
    return tlv(0x30, tlv(2, bytes([version])), tlv(0x30, algorithm), tlv(4, private), *rest)


def ec_key(*rest: bytes, secret: bytes = SECRET) -> bytes:
    return tlv(0x30, tlv(2, b"\1"), tlv(4, secret), *rest)


def point(curve: ec.EllipticCurve, scalar: int, form: PublicFormat) -> bytes:
    return ec.derive_private_key(scalar, curve).public_key().public_bytes(Encoding.X962, form)


def wire(key_type: KeyType) -> bytes:
    public = OPENSSL[key_type].public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return bytes(public.public_bytes_raw())


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(MalformedError) as caught:
        action()
    assert SECRET.hex() not in f"{caught.value!r} {caught.value.hint}"
    return str(caught.value)


@every
@pytest.mark.parametrize("password", [None, b"correct horse"], ids=["plain", "encrypted"])
def test_what_openssl_writes_is_read_in_der_and_pem(key_type: KeyType, password: bytes | None) -> None:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    key = OPENSSL[key_type]
    ask = partial(password.decode, "ascii") if password else None
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, protection)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()
    for pair in (pkcs8.parse(der, password=ask), pkcs8.parse_pem(pem, password=ask)):
        assert (pair.type, pair.secret, pair.public) == (key_type, SECRET, wire(key_type))


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.SECP256K1], ids=["p256", "secp256k1"])
def test_sec1_files_are_read_beside_a_block_of_parameters(key_type: KeyType) -> None:
    key = OPENSSL[key_type]
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    front = "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n"
    assert pkcs8.parse(der).public == wire(key_type)
    assert pkcs8.parse_pem(front + pem).public == wire(key_type)


def test_the_purpose_is_passed_on_and_has_a_default() -> None:
    der = OPENSSL[KeyType.MLDSA44].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert pkcs8.parse(der).purpose is Purpose.TEZOS
    assert pkcs8.parse(der, purpose=Purpose.RAW).purpose is Purpose.RAW


@each_mldsa
def test_seed_expanded_and_both_forms_are_the_same_key(key_type: KeyType) -> None:
    oid, library, _ = MLDSA[key_type]
    public, expanded = library.key_derive(SECRET)
    forms = [
        info(oid, tlv(0x80, SECRET)),
        info(oid, tlv(4, expanded)),
        info(oid, tlv(0x30, tlv(4, SECRET), tlv(4, expanded))),
    ]
    assert tuple(len(item) for item in forms) == SIZES[key_type]
    pairs = [pkcs8.parse(item) for item in forms]
    assert [item.public for item in pairs] == [public] * 3
    assert [item.secret for item in pairs] == [SECRET, expanded, SECRET]


@each_mldsa
def test_expanded_and_both_forms_are_read_encrypted(key_type: KeyType) -> None:
    oid, library, _ = MLDSA[key_type]
    public, expanded = library.key_derive(SECRET)
    dotted = f"2.16.840.1.101.3.4.3.{oid[-1]}"
    for inner in (tlv(4, expanded), tlv(0x30, tlv(4, SECRET), tlv(4, expanded))):
        der = PKCS8.wrap(inner, dotted, b"pass", prot_params={"iteration_count": 1000}, key_params=None)
        assert pkcs8.parse(der, password=lambda: "pass").public == public


@each_mldsa
def test_spoilt_mldsa_keys_are_refused_by_name(key_type: KeyType) -> None:
    oid, library, name = MLDSA[key_type]
    public, expanded = library.key_derive(SECRET)
    other_public, other = library.key_derive(bytes(32))
    belongs = f"the public part of the {name} key does not belong to its secret part"
    together = f"the seed and the expanded key of the {name} key do not belong together"
    broken = expanded[:64] + bytes(64) + expanded[128:]
    bits = tlv(0x81, b"\0", other_public)
    table = {
        info(oid, tlv(0x30, tlv(4, SECRET), tlv(4, other))): together,
        info(oid, tlv(0x30, tlv(4, SECRET), tlv(4, broken))): together,
        info(oid, tlv(4, broken)): (
            f"the expanded {name} key contradicts itself: its parts do not belong together"
        ),
        info(oid, tlv(0x80, SECRET), bits, version=1): belongs,
        info(oid, tlv(4, expanded), bits, version=1): belongs,
        info(oid, tlv(0x80, SECRET[:31])): f"the seed of an {name} key is 32 bytes long, not 31",
        info(oid, tlv(0x80, expanded)): f"the seed of an {name} key is 32 bytes long, not {len(expanded)}",
        info(oid, tlv(4, SECRET)): f"the expanded key of an {name} key is {len(expanded)} bytes long, not 32",
        info(oid + b"\x05\0", tlv(0x80, SECRET)): (
            "the algorithm of the private key has parameters, which this family does not have"
        ),
        info(oid, SECRET): "the DER structure is not that of a private key",
        info(oid, tlv(0x80, SECRET) + b"\0"): "the DER structure goes on after its end",
    }
    for der, words in table.items():
        assert refused(partial(pkcs8.parse, der)) == words
    whole = info(oid, tlv(0x80, SECRET), tlv(0x81, b"\0", public), version=1)
    assert pkcs8.parse(whole).public == public


@pytest.mark.parametrize(
    ("last", "name"), [(0x20, "HashML-DSA-44"), (0x21, "HashML-DSA-65"), (0x22, "HashML-DSA-87")]
)
def test_prehashed_mldsa_is_refused_as_another_algorithm(last: int, name: str) -> None:
    oid = bytes.fromhex("06096086480165030403") + bytes([last])
    words = refused(lambda: pkcs8.parse(info(oid, tlv(0x80, SECRET))))
    assert words == f"{name} private keys are not supported"


@pytest.mark.parametrize(
    ("key_type", "curve", "oid", "name"),
    [
        (KeyType.P256, ec.SECP256R1(), P256, "P-256"),
        (KeyType.SECP256K1, ec.SECP256K1(), K256, "secp256k1"),
    ],
    ids=["p256", "secp256k1"],
)
@pytest.mark.parametrize("form", [PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint])
def test_the_public_part_of_an_ec_key_must_be_its_own(
    key_type: KeyType, curve: ec.EllipticCurve, oid: bytes, name: str, form: PublicFormat
) -> None:
    own = point(curve, int.from_bytes(SECRET, "big"), form)
    other = point(curve, 7, form)
    belongs = f"the public part of the {name} key does not belong to its secret part"

    def inside(public: bytes) -> bytes:
        return info(EC + oid, ec_key(tlv(0xA1, tlv(3, b"\0", public))))

    def outside(public: bytes) -> bytes:
        return info(EC + oid, ec_key(), tlv(0x81, b"\0", public), version=1)

    def sec1(public: bytes) -> bytes:
        return ec_key(tlv(0xA0, oid), tlv(0xA1, tlv(3, b"\0", public)))

    for make in (inside, outside, sec1):
        assert pkcs8.parse(make(own)).type is key_type
        assert refused(partial(pkcs8.parse, make(other))) == belongs
        assert refused(partial(pkcs8.parse, make(own[:-1]))) == (
            f"the public part of the {name} key is not a point of the curve"
        )
    two = info(EC + oid, ec_key(tlv(0xA1, tlv(3, b"\0", own))), tlv(0x81, b"\0", other), version=1)
    assert refused(lambda: pkcs8.parse(two)) == f"the {name} key has two public parts, and they differ"


def test_spoilt_ec_keys_are_refused_by_name() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    past = "the P-256 secret key is not below the order of the curve"
    one_curve = "the EC private key must name one curve, and always the same"
    table = {
        info(EC + P256, ec_key(secret=bytes(32))): "the P-256 secret key is zero",
        info(EC + P256, ec_key(secret=order.to_bytes(32, "big"))): past,
        info(EC + P256, ec_key(secret=(order + 1).to_bytes(32, "big"))): past,
        info(EC + P256, ec_key(secret=SECRET[:31])): "a P-256 secret key is 32 bytes long, not 31",
        info(EC + P384, ec_key(secret=SECRET)): "P-384 private keys are not supported",
        info(EC + P256, ec_key(tlv(0xA0, K256))): one_curve,
        info(EC, ec_key()): one_curve,
        info(EC + tlv(0x30), ec_key()): "the EC private key spells its curve out instead of naming it",
        info(EC + P256 + P256, ec_key()): "the DER structure goes on after its end",
        info(EC + P256, tlv(0x30, tlv(2, b"\2"), tlv(4, SECRET))): (
            "the EC private key has a version that does not exist"
        ),
        info(EC + P256, ec_key(tlv(0xA1, tlv(3, b"\1\2")))): (
            "the public part is not a whole number of bytes"
        ),
    }
    for der, words in table.items():
        assert refused(partial(pkcs8.parse, der)) == words


def test_spoilt_ed25519_keys_are_refused_by_name() -> None:
    key = tlv(4, SECRET)
    good = info(ED25519, key)
    own = Ed25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw()
    assert pkcs8.parse(info(ED25519, key, tlv(0x81, b"\0", own), version=1)).public == own
    assert pkcs8.parse(info(ED25519, key, tlv(0xA0, b""))).public == own
    end = "the DER structure goes on after its end"
    early = "the DER structure ends too early"
    table = {
        info(ED25519, key, tlv(0x81, b"\0", own[::-1]), version=1): (
            "the public part of the Ed25519 key does not belong to its secret part"
        ),
        info(ED25519, key, tlv(0x81, b"\0", own)): end,
        info(ED25519 + b"\x05\0", key): (
            "the algorithm of the private key has parameters, which this family does not have"
        ),
        info(ED25519, tlv(4, SECRET[:31])): "an Ed25519 secret key is a seed of 32 bytes, not 31",
        info(ED25519, key, version=2): "the private key has a version of PKCS#8 that does not exist",
        good + b"\0": end,
        good[:-1]: early,
        b"\x30": early,
        b"\x30\x80" + good[2:] + b"\0\0": "the DER structure has a length that is not in its shortest form",
        b"\x30\x81" + good[1:]: "the DER structure has a length that is not in its shortest form",
        b"\x30\x84\xff\xff\xff\xff": "the DER structure has a length that is not in its shortest form",
        b"\x30\x83\xff\xff\xff": early,
        b"": "the DER structure is not that of a private key",
        bytes(70000): "the DER structure is 70000 bytes long; no private key is",
    }
    for der, words in table.items():
        assert refused(partial(pkcs8.parse, der)) == words


def test_keys_of_other_families_are_refused_by_name() -> None:
    def der(key: Any) -> bytes:
        return bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

    table = {
        "RSA": der(rsa.generate_private_key(65537, 2048)),
        "P-384": der(ec.generate_private_key(ec.SECP384R1())),
        "P-521": der(ec.generate_private_key(ec.SECP521R1())),
        "Ed448": der(ed448.Ed448PrivateKey.generate()),
        "X25519": der(x25519.X25519PrivateKey.generate()),
    }
    for name, found in table.items():
        assert refused(partial(pkcs8.parse, found)) == f"{name} private keys are not supported"
    unknown = info(bytes.fromhex("06032b6599"), SECRET)
    assert refused(lambda: pkcs8.parse(unknown)) == (
        "private keys of this algorithm or curve are not supported"
    )


def test_a_wrong_or_missing_password_is_said() -> None:
    der = OPENSSL[KeyType.P256].private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    assert refused(lambda: pkcs8.parse(der)) == "the secret key is encrypted"
    for password in ("y", "", "\udc80"):
        words = refused(partial(pkcs8.parse, der, password=partial(str, password)))
        assert words.startswith("unable to decrypt the private key")
    assert refused(lambda: pkcs8.parse(der, password=lambda: "\ud800")) == "the password is not text"


def test_a_key_derivation_without_bound_is_refused_before_it_starts() -> None:
    der = PKCS8.wrap(
        tlv(4, SECRET), "1.3.101.112", b"x", prot_params={"iteration_count": 70000}, key_params=None
    )
    assert pkcs8.parse(der, password=lambda: "x").secret == SECRET
    rounds = tlv(2, (70000).to_bytes(3, "big"))
    assert der.count(rounds) == 1
    costly = der.replace(rounds, tlv(2, b"\x7f\xff\xff"))
    words = refused(lambda: pkcs8.parse(costly, password=lambda: "x"))
    assert words == "the encryption of the private key asks for too much work"


def test_pem_texts_that_do_not_hold_one_private_key_are_refused_by_name() -> None:
    body = base64.b64encode(info(ED25519, tlv(4, SECRET))).decode()
    block = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    public = block.replace("PRIVATE", "PUBLIC")
    assert pkcs8.parse_pem(block + public).secret == SECRET
    old = OPENSSL[KeyType.P256].private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")
    )
    table = {
        "": "the PEM text must hold one private key; found: nothing",
        public: "the PEM text must hold one private key; found: PUBLIC KEY",
        block * 2: "the PEM text must hold one private key; found: PRIVATE KEY, PRIVATE KEY",
        block.replace(
            "END PRIVATE", "END EC PRIVATE"
        ): "the PEM text must hold one private key; found: nothing",
        block[:-10]: "the PEM text must hold one private key; found: nothing",
        block.replace(body, body[:-1]): "the PEM text is not base64",
        block.replace(body, "é"): "the PEM text is not base64",
        old.decode(): "the PEM text is encrypted in the old way, which is weak",
        "-----BEGIN " * 7000: "the PEM text is 77000 characters long; no private key is",
    }
    for pem, words in table.items():
        assert refused(partial(pkcs8.parse_pem, pem)) == words


def never_raises_but_malformed(parse: Callable[[], object]) -> None:
    try:
        parse()
    except MalformedError:
        return


@settings(deadline=None)
@given(binary(max_size=200))
def test_any_der_is_a_key_or_malformed(der: bytes) -> None:
    never_raises_but_malformed(lambda: pkcs8.parse(der, password=lambda: "x"))
    never_raises_but_malformed(lambda: pkcs8.parse(b"\x30" + der, password=lambda: "x"))


@settings(deadline=None)
@given(text(max_size=200))
def test_any_pem_is_a_key_or_malformed(body: str) -> None:
    never_raises_but_malformed(lambda: pkcs8.parse_pem(body))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    never_raises_but_malformed(lambda: pkcs8.parse_pem(pem))


SAMPLES = [
    info(ED25519, tlv(4, SECRET)),
    info(EC + P256, ec_key(tlv(0xA0, P256))),
    info(MLDSA[KeyType.MLDSA44][0], tlv(0x80, SECRET)),
    PKCS8.wrap(tlv(4, SECRET), "1.3.101.112", b"x", prot_params={"iteration_count": 1000}, key_params=None),
]


@settings(deadline=None)
@given(draw=data())
def test_altered_files_are_a_key_or_malformed(draw: DataObject) -> None:
    der = bytearray(SAMPLES[draw.draw(integers(0, len(SAMPLES) - 1))])
    for _ in range(draw.draw(integers(1, 3))):
        der[draw.draw(integers(0, len(der) - 1))] = draw.draw(integers(0, 255))
    never_raises_but_malformed(lambda: pkcs8.parse(bytes(der), password=lambda: "x"))
