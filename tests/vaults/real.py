"""The real processes behind a nitro vault: NSM, KMS emulator, enclave program. The proxy is the vault's."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from emulators import ACCESS, KEY_ID, Emulators, Program, policy
from rigs import Rig, nitro_rig

SCHEMES = ["kms-encrypt-v0", "kms-gdk-v1", "kms-envelope-v1"]


class Processes(Emulators):
    """`enclave` starts the program, as often as it is killed. It serves both protocols and every scheme."""

    def enclave(self, name: str = "enclave", **changed: Any) -> Program:
        """Listens on `NAME.sock`, and its way out is `NAME.proxy`."""
        at = f"unix:{self.folder}/{name}"
        settings = self.around_enclave() | {"listen": f"{at}.sock", "proxy": f"{at}.proxy"}
        settings |= {"schemes": SCHEMES, "release": "test-1"} | changed
        path = self.folder / f"{name}.toml"
        path.write_text(_toml(settings))
        return self.run("enclave_signer", str(path))

    def set_policy(self, **condition: Any) -> None:
        """Of the key: Encrypt always, Decrypt and GenerateDataKey under the condition."""
        document = policy(**condition)
        document["Statement"][1]["Action"] = ["kms:Decrypt", "kms:GenerateDataKey"]
        self.state.add_key(KEY_ID, document)

    @cached_property
    def root(self) -> Path:
        """The certificate that the software NSM's documents end at, DER."""
        path = self.folder / "nsm" / "root.der"
        x509.load_der_x509_certificate(path.read_bytes())
        return path

    def rig(self, base: Path, name: str = "enclave", protocol: str = "extended", **changed: Any) -> Rig:
        """The driver in front of that enclave, with keys under `base`."""
        values: dict[str, Any] = {
            "enclave_address": f"unix:{self.folder}/{name}.sock",
            "enclave_protocol": protocol,
            "proxy_local_address": f"unix:{self.folder}/{name}.proxy",
            "proxy_remote_address": self.kms.listening().removeprefix("tcp://"),
            "credentials": {
                "access_key_id": ACCESS.access_key_id,
                "secret_access_key": ACCESS.secret_access_key,
                "session_token": ACCESS.session_token,
            },
        }
        if protocol != "reference":
            values["attestation_root"] = str(self.root)
        return nitro_rig(base, **(values | changed))


def _toml(settings: dict[str, Any]) -> str:
    """JSON's texts, numbers and lists are TOML's too; a mapping becomes a table, after the rest."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in plain.items())
    return text + "".join(f"[{name}]\n{_toml(value)}" for name, value in tables.items())
