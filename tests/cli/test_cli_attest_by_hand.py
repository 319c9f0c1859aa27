"""The steps of docs/attestation.md with openssl come to the same verdict as ours."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attest_program import root_pem
from nitro_births import certified
from nitro_chain import CHAIN, LEAF, Link, a_chain, a_document

from signatory.nitro import attestation, cose

PAGE = Path(__file__).parents[2] / "docs/attestation.md"
VECTORS = Path(__file__).parents[2] / "../shared/vectors/attestation"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def by_hand(folder: Path, document: bytes, root: bytes, statement: bytes) -> tuple[int, list[str]]:
    """Run the block of the page, stopping at the first step that fails; exit code and lines."""
    (script,) = re.findall(r"^## By hand.*?^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for name, data in (("document.bin", document), ("root.pem", root), ("statement.bin", statement)):
        (folder / name).write_bytes(data)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "bin/python3").chmod(0o700)
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_birth_of_our_own_verifies_by_hand(tmp_path: Path) -> None:
    made = certified()
    code, lines = by_hand(tmp_path, made.attestation, root_pem(), made.statement)
    assert code == 0
    assert "certificates 0 to 4, protected header a1013822, digest SHA384" in lines
    prints = [line for line in lines if "ingerprint" in line]
    assert prints[0] == prints[1]
    assert "certificate4.pem: OK" in lines
    assert "Verified OK" in lines
    assert lines[-2].split()[0] == lines[-1]


def test_a_forged_signature_and_a_foreign_chain_fail_by_hand(tmp_path: Path) -> None:
    made = certified()
    forged = made.attestation[:-1] + bytes([made.attestation[-1] ^ 1])
    assert by_hand(tmp_path, forged, root_pem(), b"")[0] != 0
    other = a_chain([Link(), LEAF])
    foreign = cose.sign1(attestation.encode_payload(a_document(other)), other.leaf)
    assert other.root != CHAIN.root
    folder = tmp_path / "foreign"
    folder.mkdir()
    code, lines = by_hand(folder, foreign, root_pem(), b"")
    assert code != 0
    assert "Verified OK" not in lines


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not here")
def test_a_genuine_document_verifies_by_hand(tmp_path: Path) -> None:
    document = (VECTORS / "good_05_evervault-adv.bin").read_bytes()
    code, lines = by_hand(tmp_path, document, (VECTORS / "aws_nitro_root.pem").read_bytes(), b"")
    assert (code, "Verified OK" in lines) == (0, True)
    digest = attestation.AWS_ROOT_SHA256.hex()
    assert [line for line in lines if line.replace(":", "").lower().endswith(digest)]
