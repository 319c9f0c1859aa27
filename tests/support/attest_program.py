"""`signatory-cli attest` run in this process, and the files it reads."""

import io
from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from nitro_chain import CHAIN

from cli import admin


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Attest = Callable[..., Done]


def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Attest:
    """Run the command with a pipe for standard input."""

    def start(*words: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.argv", ["signatory-cli", "attest", *words])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return Done(admin.main(), *capsys.readouterr())

    return start


def root_pem() -> bytes:
    return x509.load_der_x509_certificate(CHAIN.certificates[0]).public_bytes(Encoding.PEM)
