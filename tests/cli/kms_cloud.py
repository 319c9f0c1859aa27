"""An emulated account with an enclave in it, and `kms-check` run against it."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import yaml
from click.testing import CliRunner
from emulators import ACCESS, ACCOUNT, KEY_ARN, KEY_ID, ROLE, Emulators

from cli.admin import program
from cli.local.kms_state import Credential
from cli.local.nsm import NsmConfig
from signatory.nitro import keypolicy
from signatory.nitro.sigv4 import AccessKey

GATEWAY = AccessKey("AKIDGATEWAY", "gateway-secret", None)


class Cloud(Emulators):
    """NSM, KMS and an enclave, and the policy that is built for it."""

    def start_enclave(self) -> None:
        settings = self.around_enclave() | {
            "listen": f"unix:{self.folder}/enclave.sock",
            "proxy": f"unix:{self.folder}/proxy.sock",
            "schemes": ["kms-encrypt-v0", "kms-gdk-v1", "kms-envelope-v1"],
            "release": "test",
        }
        file = self.folder / "enclave.toml"
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        self.run("enclave_signer", str(file))
        self.state.put_credential(Credential(GATEWAY, f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway/here"))

    def build_policy(self, **changed: Any) -> dict[str, Any]:
        measured = NsmConfig.load(self.folder / "nsm").measured()
        usual: dict[str, Any] = {
            "account": ACCOUNT,
            "enclave_role": ROLE,
            "images": [{index: measured[index] for index in (0, 1, 2)}],
            "context_keys": ["key_id", "user_id"],
        }
        policy = keypolicy.build(**(usual | changed))
        self.state.add_key(KEY_ID, policy)
        return policy

    @property
    def endpoint(self) -> tuple[str, ...]:
        url = "https://localhost:" + self.kms.listening().rpartition(":")[2]
        return ("--endpoint", url, "--ca", str(self.folder / "kms" / "ca.pem"))

    def config(self, **changed: Any) -> Path:
        nitro = {
            "enclave_address": f"unix:{self.folder}/enclave.sock",
            "proxy_local_address": f"unix:{self.folder}/proxy.sock",
            "proxy_remote_address": self.kms.listening().removeprefix("tcp://"),
            "encryption_key_id": KEY_ARN,
            "attestation_root": str(self.folder / "nsm" / "root.der"),
            "credentials": {
                "access_key_id": ACCESS.access_key_id,
                "secret_access_key": ACCESS.secret_access_key,
                "session_token": ACCESS.session_token,
            },
        } | changed
        file = self.folder / "signatory.yaml"
        vaults = {"nitro": {"driver": "nitro", "config": nitro}, "m": {"driver": "mem", "config": []}}
        file.write_text(yaml.safe_dump({"base_dir": f"{self.folder}/base", "vaults": vaults}))
        file.chmod(0o600)
        return file


def check(mode: str, *words: str, config: Path | None = None) -> CompletedProcess[str]:
    arguments = ["-c", str(config or ""), "kms-check", "--mode", mode, *words]
    done = CliRunner().invoke(program, arguments, standalone_mode=False)
    error = "" if done.exception is None else f"{done.exception}"
    code = 1 if done.exception is not None else int(done.return_value or 0)
    return CompletedProcess(words, code, done.stdout, error)


def rows(done: CompletedProcess[str]) -> list[tuple[str, str]]:
    """Mark and call of each row."""
    lines = done.stdout.splitlines()
    end = lines[0].index("  expected")
    return [(line[:6].strip(), line[8:end].strip()) for line in lines[1:]]


def failed(done: CompletedProcess[str]) -> list[str]:
    return [call for mark, call in rows(done) if mark == "FAILED"]
