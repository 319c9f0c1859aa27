"""Where a laptop stack keeps its files: all in one folder, but for the sockets.

Paths of sockets are short by law (108 bytes), so they lie in a folder of their own whose name follows from
the base folder's: they are in the measured settings and must not change from run to run.
"""

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from signatory.errors import ConfigError
from signatory.files import private_folder

_SHARED = Path("/tmp")  # noqa: S108  only the parent of a private folder, and steadier than TMPDIR
_MAX_SOCKET_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one stack."""

    base: Path
    sockets: Path

    @classmethod
    def prepare(cls, base_dir: Path) -> "Layout":
        """Make the folders, closed to others. Raises ConfigError."""
        base = private_folder(Path(os.path.abspath(base_dir)))  # noqa: PTH100  resolve() would follow links
        layout = cls(base, private_folder(socket_folder(base)))
        for folder in (layout.nsm, layout.kms, layout.enclave, layout.logs):
            private_folder(folder)
        return layout

    @property
    def lock(self) -> Path:
        return self.base / "dev.lock"

    @property
    def nsm(self) -> Path:
        return self.base / "nsm"

    @property
    def kms(self) -> Path:
        return self.base / "kms"

    @property
    def enclave(self) -> Path:
        return self.base / "enclave"

    @property
    def logs(self) -> Path:
        return self.base / "logs"

    @property
    def identity(self) -> Path:
        """Who this laptop claims to be on its AWS."""
        return self.base / "laptop.json"

    @property
    def pinned(self) -> Path:
        """The measurement to which the KMS key's policy opens."""
        return self.base / "pinned.json"

    @property
    def releases(self) -> Path:
        """The release manifest: the measurement that the daemon trusts."""
        return self.base / "release.json"

    @property
    def births(self) -> Path:
        """The birth certificates of the keys that the stack shows."""
        return self.base / "births"

    def certificate(self, kind: str) -> tuple[Path, Path]:
        """Attestation document and metadata of the key of one kind, where it has a certificate."""
        return self.births / f"{kind}.attestation", self.births / f"{kind}.json"

    @property
    def nsm_root(self) -> Path:
        """The certificate of the software NSM's own root, DER."""
        return self.nsm / "root.der"

    @property
    def settings(self) -> Path:
        """The enclave's measured settings."""
        return self.enclave / "settings.toml"

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.base / "signatory.yaml"

    @property
    def keys(self) -> Path:
        """The key of each kind that was made for this stack."""
        return self.base / "keys.json"

    @property
    def result(self) -> Path:
        """What the stack tells programs: dev.json."""
        return self.base / "dev.json"

    def remove_sockets(self) -> None:
        """Leave nothing outside the base folder."""
        with contextlib.suppress(OSError):
            for path in self.sockets.glob("*.sock"):
                path.unlink()
            self.sockets.rmdir()

    def socket(self, name: str) -> str:
        """The address of a socket: `nsm`, `enclave`, `proxy`, `nsm-control` or `kms-control`."""
        return f"unix:{self.sockets / name}.sock"


def socket_folder(base: Path) -> Path:
    """The folder for the sockets of a base folder: always the same one. Raises ConfigError."""
    shared = _SHARED if os.access(_SHARED, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:12]
    folder = shared / f"signatory-dev-{os.geteuid()}-{digest}"
    if len(os.fsencode(folder)) > _MAX_SOCKET_FOLDER:
        raise ConfigError(f"{shared} is too long a path for sockets", hint="set TMPDIR to a short one")
    return folder
