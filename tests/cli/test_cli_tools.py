"""`signatory-tools`: the keys it makes and the signatures of clients, checked by other libraries."""

import hashlib
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import base58
import nacl.signing
import py_arkworks_bls12381 as ark
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, utils
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cli import tools as program

SECRET = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
PUBLIC = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
HASH = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
REQUEST = "11" + "af" * 40
POP = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `signatory-tools` in this process, with a pipe for standard input."""
    monkeypatch.chdir(tmp_path)

    def start(*words: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.argv", ["signatory-tools", *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return Done(program.main(), *capsys.readouterr())

    return start


def values(out: str) -> list[tuple[str, str, str]]:
    """Secret key, public key, hash of each block; the layout is asserted too."""
    found = []
    for block in out.removesuffix("\n\n").split("\n\n"):
        lines = block.splitlines()
        assert [line[:17] for line in lines] == [
            "Private Key:     ",
            "Public Key:      ",
            "Public Key Hash: ",
        ]
        found.append((lines[0][17:], lines[1][17:], lines[2][17:]))
    return found


def payload(text: str, prefix: int) -> bytes:
    return base58.b58decode_check(text)[prefix:]


def verified(public: str, message: bytes, signature: str) -> bool:
    """Whether the signature is right, by libraries that the product does not sign with; raises or False."""
    key, digest = payload(public, 4), hashlib.blake2b(message, digest_size=32).digest()
    if public.startswith("edpk"):
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(payload(signature, 5), digest)
    elif public.startswith("mdpk"):
        mldsa.MLDSA44PublicKey.from_public_bytes(key).verify(payload(signature, 5), digest)
    elif public.startswith("BLpk"):
        left = ark.GT.pairing(ark.G1Point(), ark.G2Point.from_compressed_bytes(payload(signature, 4)))
        hashed = ark.G2Point.hash_to_curve(message, POP)
        return bool(left == ark.GT.pairing(ark.G1Point.from_compressed_bytes(key), hashed))
    else:
        curve: ec.EllipticCurve = ec.SECP256R1() if public.startswith("p2pk") else ec.SECP256K1()
        raw = payload(signature, 4 if public.startswith("p2pk") else 5)
        der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        point = ec.EllipticCurvePublicKey.from_encoded_point(curve, key)
        point.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return True


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("tz1", ("edsk", "edpk", "tz1")), ("tz2", ("spsk", "sppk", "tz2")), ("tz3", ("p2sk", "p2pk", "tz3")),
        ("tz4", ("BLsk", "BLpk", "tz4")), ("tz5", ("mdsk", "mdpk", "tz5")),
        ("ed25519", ("edsk", "edpk", "tz1")), ("secp256k1", ("spsk", "sppk", "tz2")),
        ("p256", ("p2sk", "p2pk", "tz3")), ("bls", ("BLsk", "BLpk", "tz4")),
        ("mldsa44", ("mdsk", "mdpk", "tz5")),
    ],
)  # fmt: skip
def test_gen_key_makes_keys_of_every_type_whose_hash_is_that_of_the_public_key(
    tools: Run, name: str, starts: tuple[str, str, str]
) -> None:
    done = tools("gen-key", "-t", name)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = values(done.stdout)
    assert tuple(text[: len(start)] for text, start in zip(row, starts, strict=True)) == starts
    assert payload(row[2], 3) == hashlib.blake2b(payload(row[1], 4), digest_size=20).digest()


def test_gen_key_makes_ed25519_unless_told_as_many_as_asked_and_the_secret_is_the_key(tools: Run) -> None:
    rows = values(tools("gen-key", "-n", "3").stdout)
    assert len({secret for secret, _, _ in rows}) == 3
    for secret, public, _ in rows:
        assert bytes(nacl.signing.SigningKey(payload(secret, 4)).verify_key) == payload(public, 4)


@pytest.mark.parametrize("name", ["mldsa65", "rsa", "", "TZ1"])
def test_gen_key_refuses_a_type_without_a_tezos_form(tools: Run, name: str) -> None:
    done = tools("gen-key", "-t", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error: unknown key type: {name}\nhint: use one of tz1, " in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_gen_key_takes_a_positive_number(tools: Run, number: str) -> None:
    assert tools("gen-key", "-n", number).returncode == 1


@pytest.mark.parametrize("name", ["tz1", "tz2", "tz3", "tz4", "tz5"])
@pytest.mark.parametrize("request_", [REQUEST, "", "03AB"])
def test_a_client_of_every_family_signs_prefix_tag_hash_and_request(
    tools: Run, name: str, request_: str
) -> None:
    ((secret, public, _),) = values(tools("gen-key", "-t", name).stdout)
    ((_, _, wanted),) = values(tools("gen-key", "-t", "tz3").stdout)
    done = tools("authenticate", wanted, request_, stdin=secret.encode() + b"\n")
    assert (done.returncode, done.stderr) == (0, "")
    message = b"\x04\x01\x02" + payload(wanted, 3) + bytes.fromhex(request_)
    assert verified(public, message, done.stdout.removesuffix("\n"))


def test_the_secret_comes_from_the_argument_a_file_or_a_pipe_and_all_sign_alike(
    tools: Run, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"unencrypted:{SECRET}\n")
    seed = ed25519.Ed25519PrivateKey.from_private_bytes(payload(SECRET, 4))
    pem = seed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = seed.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    answers = {
        tools("authenticate", SECRET, HASH, REQUEST).stdout,  # the order of Signatory
        tools("authenticate", HASH, REQUEST, "--secret-file", "key").stdout,
        tools("authenticate", HASH, REQUEST, stdin=SECRET.encode()).stdout,
        tools("authenticate", HASH, REQUEST, stdin=pem).stdout,
        tools("authenticate", HASH, REQUEST.upper(), stdin=der).stdout,
    }
    assert len(answers) == 1
    message = b"\x04\x01\x00" + payload(HASH, 3) + bytes.fromhex(REQUEST)
    (signature,) = answers
    assert verified(PUBLIC, message, signature.strip())


def test_an_encrypted_key_takes_its_password_from_a_file(tools: Run, tmp_path: Path) -> None:
    seed = ed25519.Ed25519PrivateKey.from_private_bytes(payload(SECRET, 4))
    pem = seed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    (tmp_path / "password").write_text("open sesame\n")
    (tmp_path / "wrong").write_text("close sesame\n")
    done = tools("authenticate", HASH, REQUEST, "--password-file", "password", stdin=pem)
    assert done.stdout == tools("authenticate", SECRET, HASH, REQUEST).stdout
    refused = tools("authenticate", HASH, REQUEST, "--password-file", "wrong", stdin=pem)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "sesame" not in refused.stderr


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        ((HASH, SECRET, REQUEST), b"", "Error: "),  # the order that Signatory's own program takes by mistake
        ((SECRET, SECRET, REQUEST), b"", "Error: PKH: this is a secret key, not a public key hash"),
        ((SECRET, HASH, "0x03"), b"", "Error: REQUEST is not hex"),
        ((SECRET, HASH, "033"), b"", "Error: REQUEST is not hex"),
        ((SECRET, HASH, "é"), b"", "Error: REQUEST is not hex"),
        ((SECRET, "KT1Hkg5qeNhfwpKW4fXvq7HGZB9z2EnmCCA9", "03"), b"", "Error: "),
        ((SECRET[:-1], HASH, "03"), b"", "Error: "),
        ((HASH, "03"), b"", "Error: standard input is empty"),
        ((HASH, "03"), SECRET[:-3].encode(), "Error: the client's secret key: the Base58 text"),
        ((HASH, "03", "--secret-file", "none"), b"", "Error: cannot read the secret key from none"),
        ((SECRET, HASH, "03", "--secret-file", "none"), b"", "exclude each other"),
        ((HASH,), b"", "authenticate takes [SECRET] PKH REQUEST"),
        ((SECRET, SECRET, HASH, "03"), b"", "authenticate takes [SECRET] PKH REQUEST"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(
    tools: Run, words: tuple[str, ...], stdin: bytes, told: str
) -> None:
    done = tools("authenticate", *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert SECRET[:20] not in done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the other process
        os.execv(  # noqa: S606 - no shell is wanted
            sys.executable, [sys.executable, "-I", "-m", "cli.signatory_tools", "authenticate", HASH, "03"]
        )
    shown = b""
    while b"Enter the secret key: " not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, SECRET.encode() + b"\n")
    while True:
        try:
            part = os.read(terminal, 1024)
        except OSError:  # the end of a terminal
            break
        shown += part
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert SECRET.encode() not in shown
    signature = shown.split()[-1].decode()
    message = b"\x04\x01\x00" + payload(HASH, 3) + b"\x03"
    assert verified(PUBLIC, message, signature)


def test_the_installed_program_says_its_commands() -> None:
    program = Path(sys.executable).with_name("signatory-tools")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "gen-key" in done.stdout
    assert "authenticate" in done.stdout
