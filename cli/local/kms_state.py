"""The KMS emulator's state on disk: its keys with their policies, and the credentials it knows.

    config.json              what KmsConfig says
    credentials.json         access key id -> {secret_access_key, session_token, expires_at, principal}
    keys/ID/material         32 bytes, AES-256
    keys/ID/key.json         {"state": "Enabled" | "Disabled" | "PendingDeletion"}
    keys/ID/policy.json      the key policy

Everything but the configuration is read again for every request: a change on disk holds from the next one on.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.local import state
from signatory.errors import ConfigError, MalformedError
from signatory.files import private_folder, replace_durably
from signatory.nitro.kms import Arn
from signatory.nitro.sigv4 import AccessKey


@dataclass(frozen=True, slots=True)
class KmsConfig:
    """What config.json holds, all texts; relative paths start at the state folder.

    `nsm_root` is the DER of the only root whose attestation documents count; the other two files are PEM.
    """

    region: str
    account: str
    listen: str
    control: str
    nsm_root: str
    certificate: str
    certificate_key: str

    def save(self, folder: Path) -> None:
        """Raises UnavailableError."""
        state.write_json(folder / "config.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "KmsConfig":
        """Raises ConfigError."""
        found = state.read_json(folder / "config.json")
        return cls(**{name: state.text(found, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Credential:
    """Somebody who may ask. `principal` is an ARN, `expires_at` None for never."""

    key: AccessKey
    principal: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A KMS key as it is on disk now."""

    arn: Arn
    state: str
    policy: Mapping[str, Any]
    material: bytes = field(repr=False)


class KmsState:
    """The folder. Methods raise ConfigError or UnavailableError where the disk does not hold what is due."""

    def __init__(self, folder: Path, region: str, account: str) -> None:
        self._folder, self._region, self._account = folder, region, account

    def add_key(self, key_id: str, policy: Mapping[str, Any]) -> Arn:
        """Make a key of that id, unless there is one; set its policy either way."""
        folder = private_folder(private_folder(self._folder / "keys") / key_id)
        if not (folder / "material").exists():
            replace_durably(folder / "material", os.urandom(32))
            state.write_json(folder / "key.json", {"state": "Enabled"})
        state.write_json(folder / "policy.json", policy)
        return self.arn(key_id)

    def arn(self, key_id: str) -> Arn:
        return Arn.parse(f"arn:aws:kms:{self._region}:{self._account}:key/{key_id}")

    def find_key(self, key_id: str) -> Key | None:
        """The key of that id or ARN, if it is ours."""
        try:
            arn = Arn.parse(key_id) if key_id.startswith("arn:") else self.arn(key_id)
        except MalformedError:
            return None
        folder = self._folder / "keys" / arn.key_id
        if arn != self.arn(arn.key_id) or not folder.is_dir():
            return None
        material = state.read_bytes(folder / "material")
        if len(material) != 32:
            raise ConfigError(f"{folder / 'material'} is not 32 bytes")
        status = state.text(state.read_json(folder / "key.json"), "state")
        return Key(arn, status, state.read_json(folder / "policy.json"), material)

    def credential(self, access_key_id: str) -> Credential | None:
        """Whoever has this access key id, expired or not."""
        found = self._credentials().get(access_key_id)
        if not isinstance(found, dict):
            return None
        token, expires = found.get("session_token"), found.get("expires_at")
        key = AccessKey(access_key_id, state.text(found, "secret_access_key"), token)
        return Credential(key, state.text(found, "principal"), None if expires is None else _moment(expires))

    def put_credential(self, credential: Credential) -> None:
        """Add it, or replace the one with the same access key id."""
        expires, key = credential.expires_at, credential.key
        entry = {
            "secret_access_key": key.secret_access_key,
            "session_token": key.session_token,
            "principal": credential.principal,
            "expires_at": None if expires is None else expires.astimezone(UTC).isoformat(),
        }
        state.write_json(self._folder / "credentials.json", self._credentials() | {key.access_key_id: entry})

    def _credentials(self) -> dict[str, Any]:
        path = self._folder / "credentials.json"
        return state.read_json(path) if path.exists() else {}


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError):
        raise ConfigError("expires_at is not a time in ISO 8601") from None
