"""`import`: every way a key comes in, and that no secret comes out."""

import hashlib
import os
import pty
import sys
from pathlib import Path
from typing import Any

import base58
import click
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

from cli.import_options import parse_options

SEED = bytes(range(32))
PASSWORD = "correct horse"
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
RAW_PUBLIC = KEY.public_key().public_bytes_raw()
TEXT = base58.b58encode_check(bytes.fromhex("0d0f3a07") + SEED).decode()
HASH = base58.b58encode_check(
    bytes.fromhex("06a19f") + hashlib.blake2b(RAW_PUBLIC, digest_size=20).digest()
).decode()


def encrypted() -> str:
    """`edesk...` made by hashlib, PyNaCl and base58."""
    salt = b"saltsalt"
    key = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 32768, 32)
    box = SecretBox(key).encrypt(SEED, nonce=bytes(24)).ciphertext
    return base58.b58encode_check(bytes.fromhex("075a3cb329") + salt + box).decode()


def pkcs8(encoding: serialization.Encoding, password: str | None = None) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password.encode())
    return KEY.private_bytes(encoding, serialization.PrivateFormat.PKCS8, protection)


def assert_imported(done: Any, *hashes: str) -> None:
    told = [word.removeprefix("pkh=") for word in done.stderr.split() if word.startswith("pkh=")]
    assert (done.returncode, done.stdout, told) == (0, "", list(hashes or (HASH,)))
    assert TEXT not in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("option", ["-v", "--vault"])
def test_a_key_comes_as_an_argument(run: Any, option: str) -> None:
    assert_imported(run("import", TEXT, option, "m"))


@pytest.mark.parametrize("scheme", ["", "unencrypted:"])
def test_a_key_comes_through_a_pipe(run: Any, scheme: str) -> None:
    assert_imported(run("import", "-v", "m", stdin=f"{scheme}{TEXT}\n"))


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_pem_and_der_come_through_a_pipe_or_a_file(
    run: Any, folder: Path, encoding: serialization.Encoding
) -> None:
    assert_imported(run("import", "-v", "m", stdin=pkcs8(encoding)))
    (folder / "key").write_bytes(pkcs8(encoding))
    assert_imported(run("import", "-v", "m", "-f", "key"))


def test_base58_comes_from_a_file(run: Any, folder: Path) -> None:
    (folder / "key").write_text(TEXT + "\n")
    assert_imported(run("import", "-v", "m", "--from", "key"))


def test_several_keys_come_at_once(run: Any) -> None:
    other = base58.b58encode_check(bytes.fromhex("0d0f3a07") + bytes(range(1, 33))).decode()
    raw = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key().public_bytes_raw()
    digest = hashlib.blake2b(raw, digest_size=20).digest()
    other_hash = base58.b58encode_check(bytes.fromhex("06a19f") + digest).decode()
    assert_imported(run("import", "-v", "m", TEXT, other), HASH, other_hash)
    assert_imported(run("import", "-v", "m", stdin=f"{TEXT}\n{other}"), HASH, other_hash)


def test_an_encrypted_key_takes_its_password_from_the_option_or_a_file(run: Any, folder: Path) -> None:
    (folder / "password").write_text(PASSWORD + "\n")
    assert_imported(run("import", "-v", "m", encrypted(), "--password", PASSWORD))
    assert_imported(run("import", "-v", "m", encrypted(), "--password-file", "password"))
    assert_imported(run("import", "-v", "m", "--password", PASSWORD, stdin="encrypted:" + encrypted()))
    assert_imported(
        run("import", "-v", "m", "--password", PASSWORD, stdin=pkcs8(serialization.Encoding.PEM, PASSWORD))
    )


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        ((TEXT[:-1],), "", "checksum"),
        ((HASH,), "", "not a secret key"),
        ((), "", "standard input is empty"),
        ((), " \n", "standard input is empty"),
        (("-f", "none"), "", "cannot read the key from none"),
        (("-f", "."), "", "cannot read the key from ."),
        (("-f", "/dev/zero"), "", "longer than"),
        ((encrypted(),), "", "there is no terminal to ask at: Enter the password"),
        ((encrypted(), "--password", "Tr0ub4dor"), "", ""),
        ((encrypted(), "--password-file", "none"), "", "cannot read the password from none"),
        ((encrypted(), "--password-file", "keys.yaml"), "", "starts with an empty line"),
        ((encrypted(), "--password-file", "binary"), "", "is not UTF-8 text"),
        ((TEXT, "--password", "a", "--password-file", "b"), "", "exclude each other"),
        ((TEXT, "-f", "x"), "", "exclude each other"),
        ((TEXT, "-o", "nonsense"), "", "--opt takes NAME:VALUE"),
        ((TEXT, TEXT), "", "is already in this vault"),
    ],
)
def test_what_cannot_be_imported_says_why_and_shows_no_secret(
    run: Any, folder: Path, words: tuple[str, ...], stdin: str, told: str
) -> None:
    (folder / "keys.yaml").write_text("\nx")
    (folder / "binary").write_bytes(b"\xff\xfe")
    done = run("import", "-v", "m", *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: " in done.stderr
    assert told in done.stderr
    for secret in (TEXT, TEXT[:-1], encrypted(), "Tr0ub4dor"):
        assert secret not in done.stderr


def other(number: int) -> str:
    return base58.b58encode_check(bytes.fromhex("0d0f3a07") + bytes([number]) * 32).decode()


def test_of_several_keys_the_one_that_cannot_be_read_is_counted(run: Any) -> None:
    done = run("import", "-v", "m", TEXT, TEXT[:-1], other(1))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: key 2 of 3: the Base58 text" in done.stderr
    assert TEXT[:-1] not in done.stderr


def test_an_import_that_ends_midway_names_what_is_in_the_vault_and_what_is_not(run: Any) -> None:
    done = run("import", "--log", "error", "-v", "m", other(1), TEXT, TEXT, other(2))
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[:2] == [
        f"Error: {HASH} is already in this vault",
        "2 of 4 keys were imported into vault m",
    ]
    assert [line.split()[1:] for line in lines[2:]] == [
        ["imported"],
        ["imported"],
        ["failed"],
        ["not", "tried"],
    ]
    assert lines[3].split()[0] == lines[4].split()[0] == HASH


def test_a_p256_key_becomes_a_tz3_key(run: Any) -> None:
    pem = ec.derive_private_key(7, ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert " pkh=tz3" in run("import", "-v", "m", stdin=pem).stderr


def test_options_without_meaning_are_told(run: Any) -> None:
    done = run("import", "-v", "m", TEXT, "-o", "name:x")
    assert_imported(done)
    assert "option `name` has no meaning for vault m" in done.stderr


def typed(folder: Path, words: list[str], answers: list[tuple[bytes, str]]) -> tuple[int, bytes]:
    """Run the program on a terminal of its own and answer its prompts; the exit code and all it showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(  # noqa: S606 - the program under test, on a terminal of its own
            sys.executable, [sys.executable, "-I", "-m", "cli.signatory_cli", "-c", "signatory.yaml", *words]
        )
    seen, unanswered = b"", list(answers)
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if unanswered and seen.endswith(unanswered[0][0]):
            os.write(terminal, unanswered.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # forkpty in a process with threads; the child execs at once
def test_at_a_terminal_the_key_and_its_password_are_asked_for_and_not_echoed(folder: Path) -> None:
    answers = [(b"Enter the secret key: ", encrypted()), (b"Enter the password: ", PASSWORD)]
    code, seen = typed(folder, ["import", "-v", "m"], answers)
    assert code == 0
    assert f"pkh={HASH}".encode() in seen
    assert encrypted().encode() not in seen
    assert PASSWORD.encode() not in seen


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("name:x", {"name": "x"}),
        (" name : x , domains : 1 ", {"name": "x", "domains": "1"}),
        ("'a b':\"c,d:e\"", {"a b": "c,d:e"}),
        (r"a\:b:c\,d", {"a:b": "c,d"}),
        ("a:", {"a": ""}),
    ],
)
def test_import_options_are_pairs_with_quotes_and_back_slashes(text: str, pairs: dict[str, str]) -> None:
    assert parse_options((text,)) == pairs


@pytest.mark.parametrize("text", ["", "a", ":a", "a:b:c", "a:b,", "'a:b", "a:b\\", ",a:b"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_options((text,))


@given(st.text(alphabet="ab:,'\"\\ ", max_size=20))
def test_any_option_text_gives_pairs_or_a_usage_error(text: str) -> None:
    try:
        pairs = parse_options((text,))
    except click.UsageError:
        return
    assert all(name for name in pairs)
