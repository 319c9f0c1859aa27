"""The measurement of the enclave's program on a laptop, where the hardware would have hashed an image file.

There is no image here, so the registers are taken over files. With H = SHA-384, framed(n, c) = length of n
(4 bytes, big-endian), n, length of c (8 bytes), c, and R(x) = H(48 zero bytes || H(x)):

    PCR0 = R(program || settings)       the whole
    PCR1 = R(boot || settings)          what starts the program and with which settings
    PCR2 = R(program)                   the program only: the same on two laptops with the same files
    PCR3 = H(48 zero bytes || role ARN)         as on AWS
    PCR4 = H(48 zero bytes || instance id)      as on AWS

program is the include list itself and then, in its order, every file that it names, those of the
distributions too; settings is the framed settings file (in which paths of this laptop stand); boot is the
framed command line. Every other register is zero.
"""

import hashlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from signatory.errors import ConfigError

INCLUDE = "enclave_signer/include.txt"
COMMAND_LINE = b"python -I -m enclave_signer SETTINGS"
MAX_FILES = 20_000
ZERO = bytes(48)


def tree_of_program() -> Path:
    """The folder in which the packages lie that this interpreter runs."""
    return Path(__file__).resolve().parents[2]


def measure(tree: Path, settings: bytes, role_arn: str, instance_id: str) -> Mapping[int, bytes]:
    """PCR0 to PCR4. Raises ConfigError naming the file that cannot be measured."""
    program = hashlib.sha384()
    for name, content in program_files(tree):
        program.update(framed(name, content))
    whole, framed_settings = program.copy(), framed("settings", settings)
    whole.update(framed_settings)
    boot = hashlib.sha384(framed("boot", COMMAND_LINE) + framed_settings)
    return {
        0: extend(ZERO, whole.digest()),
        1: extend(ZERO, boot.digest()),
        2: extend(ZERO, program.digest()),
        3: extend(ZERO, role_arn.encode()),
        4: extend(ZERO, instance_id.encode()),
    }


def extend(register: bytes, data: bytes) -> bytes:
    """What a register holds after `data`: SHA384(register || data)."""
    return hashlib.sha384(register + data).digest()


def framed(name: str, content: bytes) -> bytes:
    """Name and content with their lengths, so that no byte can move from one to the other unseen."""
    label = name.encode()
    return len(label).to_bytes(4, "big") + label + len(content).to_bytes(8, "big") + content


def program_files(tree: Path) -> Iterator[tuple[str, bytes]]:
    """The include list and every file it names, with contents. Raises ConfigError."""
    listing = _read(tree / INCLUDE)
    yield INCLUDE, listing
    names, distributions = parse_include(listing)
    for name in names:
        yield name, _read(tree / name)
    for distribution in distributions:
        yield from _distribution_files(distribution)


def parse_include(listing: bytes) -> tuple[list[str], list[str]]:
    """The files and the third-party distributions of an include list.

    One a line, the distributions below the line `[third-party]`; `#` starts a comment. Raises ConfigError.
    """
    sections: dict[str, list[str]] = {"[files]": [], "[third-party]": []}
    current = sections["[files]"]
    for raw in listing.decode("utf-8", "replace").splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            if line not in sections:
                raise ConfigError(f"{INCLUDE}: unknown section {line}")
            current = sections[line]
        elif line:
            current.append(line)
    files, distributions = sections.values()
    for name in files:
        if name.startswith("/") or ".." in Path(name).parts:
            raise ConfigError(f"{INCLUDE}: {name} leaves the tree")
    if not files or len(files) > MAX_FILES:
        raise ConfigError(f"{INCLUDE} names {len(files)} files; expected 1 to {MAX_FILES}")
    return files, distributions


def _distribution_files(name: str) -> Iterator[tuple[str, bytes]]:
    """Every installed file of a distribution but what the installer made up: bytecode and its own records."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        raise ConfigError(f"{INCLUDE} names {name}, which is not installed") from None
    for file in sorted(files, key=str):
        made_up = file.suffix == ".pyc" or any(part.endswith(".dist-info") for part in file.parts)
        if not made_up and ".." not in file.parts:
            yield f"{name}/{file}", _read(Path(str(file.locate())))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot measure {path}: {error.strerror}") from error
