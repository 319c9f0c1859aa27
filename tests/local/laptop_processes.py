"""What the tests of the emulators measure, and how they ask the NSM without any of our own codecs."""

import socket
from pathlib import Path

from signatory.files import private_folder


def prepare_tree(folder: Path) -> Path:
    """A little program to measure."""
    package = private_folder(folder / "tree" / "enclave_signer")
    (package / "include.txt").write_text("enclave_signer/one.py\nenclave_signer/two.py\n")
    (package / "one.py").write_text("print(1)\n")
    (package / "two.py").write_text("print(2)\n")
    return folder / "tree"


def ask(path: Path | str, body: bytes) -> bytes:
    """One framed request to the software NSM."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(path))
        return ask_on(stream, body)


def ask_on(stream: socket.socket, body: bytes) -> bytes:
    stream.sendall(len(body).to_bytes(4, "big") + body)
    with stream.makefile("rb") as file:
        return file.read(int.from_bytes(file.read(4), "big"))
