"""The real processes behind a nitro vault: NSM, KMS emulator, enclave program. The proxy is the vault's."""

import json
from pathlib import Path
from typing import Any

from emulators import ACCESS, Emulators, Program
from rigs import Rig, nitro_rig


class Processes(Emulators):
    """`enclave` starts the program, as often as it is killed."""

    def enclave(self, name: str = "enclave") -> Program:
        """Listens on `NAME.sock`, and its way out is `NAME.proxy`."""
        at = f"unix:{self.folder}/{name}"
        settings = self.around_enclave() | {"listen": f"{at}.sock", "proxy": f"{at}.proxy"}
        path = self.folder / f"{name}.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        return self.run("enclave_signer", str(path))

    def rig(self, base: Path, name: str = "enclave", **changed: Any) -> Rig:
        """The driver in front of that enclave, with keys under `base`."""
        values: dict[str, Any] = {
            "enclave_address": f"unix:{self.folder}/{name}.sock",
            "proxy_local_address": f"unix:{self.folder}/{name}.proxy",
            "proxy_remote_address": self.kms.listening().removeprefix("tcp://"),
            "credentials": {
                "access_key_id": ACCESS.access_key_id,
                "secret_access_key": ACCESS.secret_access_key,
                "session_token": ACCESS.session_token,
            },
        }
        return nitro_rig(base, **(values | changed))
