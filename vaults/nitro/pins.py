"""What a configuration says of the enclave: who signs its documents, which image must run."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import certchain, manifest
from signatory.nitro.attestation import Registers
from signatory.nitro.manifest import Manifest
from vaults.nitro.config import NitroConfig
from vaults.nitro.trust import Trust
from vaults.paths import expand

MAX_FILE = 1 << 20
"""Bytes of a manifest or a certificate that are read at most."""


@dataclass(frozen=True, slots=True)
class Pins:
    """Made by `read`. At most one of `registers` and `manifest`; without either, any image may run."""

    root_sha256: bytes
    registers: Registers | None = None
    manifest: Manifest | None = None
    allow_debug: bool = False

    @property
    def pin_an_image(self) -> bool:
        return self.registers is not None or self.manifest is not None

    def trust(self, now: datetime) -> Trust:
        """Whom to trust at that time. Raises ConfigError where no release of the manifest is good then."""
        images: tuple[Registers, ...] = () if self.registers is None else (self.registers,)
        if self.manifest is not None:
            images = self.manifest.registers(now)
        return Trust(self.root_sha256, images, self.allow_debug)

    @classmethod
    async def read(cls, config: NitroConfig, base_dir: Path) -> "Pins":
        """Raises ConfigError naming the file that cannot be used."""
        return await asyncio.to_thread(cls._read, config, base_dir)

    @classmethod
    def _read(cls, config: NitroConfig, base_dir: Path) -> "Pins":
        given = config.attestation_root and _fingerprint(expand(config.attestation_root, base_dir))
        found = _manifest(expand(config.manifest, base_dir)) if config.manifest else None
        root = manifest.pinned_root(found, given or None)
        return cls(root, config.expected_pcrs, found, config.allow_debug)


def _fingerprint(path: Path) -> bytes:
    try:
        return certchain.fingerprint(_read_file("attestation_root", path))
    except MalformedError as error:
        raise ConfigError(f"attestation_root: {path}: {error.message}") from error


def _manifest(path: Path) -> Manifest:
    try:
        return manifest.load(_read_file("manifest", path))
    except MalformedError as error:
        raise ConfigError(f"manifest: {path}: {error.message}", hint=error.hint) from error


def _read_file(what: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{what}: {path} is longer than {MAX_FILE} bytes")
    return data
