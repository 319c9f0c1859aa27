"""Does a signature verify? Asked of libraries other than those that the product signs with."""

import hashlib
from typing import Any

import py_arkworks_bls12381 as ark
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

AUG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_AUG_"
POP = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POP_PROOF = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
CURVES: dict[str, ec.EllipticCurve] = {"secp256k1": ec.SECP256K1(), "p256": ec.SECP256R1()}
MLDSA: dict[str, Any] = {
    "mldsa44": mldsa.MLDSA44PublicKey,
    "mldsa65": mldsa.MLDSA65PublicKey,
    "mldsa87": mldsa.MLDSA87PublicKey,
}


def verifies(family: str, public: bytes, message: bytes, signature: bytes, *, raw: bool = False) -> bool:
    """Under the rules of Tezos (a digest is signed; BLS by version 2), or the algorithm over the message."""
    signed = message if raw else hashlib.blake2b(message, digest_size=32).digest()
    if raw and family in CURVES:
        signed = hashlib.sha256(message).digest()
    if family == "bls":
        return _pairs(public, message, POP, signature)
    try:
        if family in CURVES:
            key = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[family], public)
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(Prehashed(SHA256())))
        elif family == "ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
        else:
            MLDSA[family].from_public_bytes(public).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def bls_version_1(public: bytes, message: bytes, signature: bytes) -> bool:
    return _pairs(public, public + message, AUG, signature)


def proves(public: bytes, proof: bytes, over: bytes | None = None) -> bool:
    return _pairs(public, public if over is None else over, POP_PROOF, proof)


def _pairs(public: bytes, message: bytes, dst: bytes, signature: bytes) -> bool:
    left = ark.GT.pairing(ark.G1Point(), ark.G2Point.from_compressed_bytes(signature))
    right = ark.GT.pairing(ark.G1Point.from_compressed_bytes(public), ark.G2Point.hash_to_curve(message, dst))
    return bool(left == right)
