"""What the stack writes down for its processes: who they are, what they may, where they listen."""

import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cli.local import laptop_ca, stack_releases, state
from cli.local.kms_state import Credential, KmsConfig, KmsState
from cli.local.layout import Layout
from cli.local.nsm import NsmConfig
from cli.local.nsm_chain import open_root
from signatory.errors import ConfigError
from signatory.files import replace_durably
from signatory.nitro import keypolicy
from signatory.nitro.keypolicy_build import PRODUCT_CONTEXTS
from signatory.nitro.sealed import Scheme
from signatory.nitro.sigv4 import AccessKey
from signatory.policy.kinds import BALLOTS, OPERATION_KINDS, REQUEST_KINDS

REGION = "xx-laptop-1"
ACCOUNT = "000000000000"
KMS_HOST = "kms.signatory-dev.localhost"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/signatory-dev-not-genuine"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/signatory-dev-not-genuine/laptop"

_HEAD = (
    "# Written by `signatory dev` at every start. NOT GENUINE: the keys behind it protect nothing of value.\n"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this laptop is on its own AWS; made once."""

    instance_id: str
    key_id: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)

    @property
    def kms_key_arn(self) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.key_id}"

    @classmethod
    def of(cls, layout: Layout) -> "Identity":
        """The one on disk, made where there is none. Raises ConfigError, UnavailableError."""
        if not layout.identity.exists():
            made = cls(
                instance_id=f"i-{secrets.token_hex(8)}0",
                key_id=str(uuid.uuid4()),
                access_key_id=f"ASIALAPTOP{secrets.token_hex(5).upper()}",
                secret_access_key=secrets.token_urlsafe(30),
                session_token=secrets.token_urlsafe(60),
            )
            state.write_json(layout.identity, asdict(made))
        found = state.read_json(layout.identity)
        return cls(**{name: state.text(found, name) for name in cls.__dataclass_fields__})


def write_emulators(layout: Layout, identity: Identity, tree: Path, now: datetime) -> NsmConfig:
    """All that NSM, KMS and enclave read, but for the key policy. Raises ConfigError, UnavailableError."""
    open_root(layout.nsm, now)
    fingerprint = laptop_ca.prepare(layout.kms, KMS_HOST, now)
    replace_durably(layout.settings, _settings(layout, identity, fingerprint).encode())
    KmsConfig(
        region=REGION,
        account=ACCOUNT,
        listen="tcp://127.0.0.1:0",
        control=layout.socket("kms-control"),
        nsm_root="../nsm/root.der",
        certificate=laptop_ca.CERTIFICATE_FILE,
        certificate_key=laptop_ca.KEY_FILE,
    ).save(layout.kms)
    key = AccessKey(identity.access_key_id, identity.secret_access_key, identity.session_token)
    KmsState(layout.kms, REGION, ACCOUNT).put_credential(Credential(key, PRINCIPAL))
    config = NsmConfig(
        tree=str(tree),
        settings=str(layout.settings),
        role_arn=ROLE_ARN,
        region=REGION,
        instance_id=identity.instance_id,
        listen=layout.socket("nsm"),
        control=layout.socket("nsm-control"),
    )
    config.save(layout.nsm)
    return config


def pin(layout: Layout, identity: Identity, measured: Mapping[int, bytes], now: datetime) -> None:
    """Let the KMS key open to this measurement, and the daemon trust it, and no other.

    Raises ConfigError, UnavailableError.
    """
    image = {index: measured[index] for index in (0, 1, 2)}
    policy = keypolicy.build(
        account=ACCOUNT,
        enclave_role=ROLE_ARN,
        images=[image],
        context_keys=PRODUCT_CONTEXTS,
        kms_encrypt_v0=True,
    )
    root = hashlib.sha256(state.read_bytes(layout.nsm_root)).digest()
    stack_releases.record(layout, root, measured, now)
    KmsState(layout.kms, REGION, ACCOUNT).add_key(identity.key_id, policy)
    state.write_json(layout.pinned, {f"PCR{index}": value.hex() for index, value in image.items()})


def pinned_pcr0(layout: Layout) -> str | None:
    """The PCR0 that was pinned last, in hex. Raises ConfigError."""
    if not layout.pinned.exists():
        return None
    return state.text(state.read_json(layout.pinned), "PCR0")


def write_config(
    layout: Layout, identity: Identity, kms_address: str, listeners: tuple[str, str], keys: Sequence[str]
) -> None:
    """The daemon's configuration, with `keys` that may sign everything. Raises UnavailableError."""
    nitro = {
        "enclave_address": layout.socket("enclave"),
        "proxy_local_address": layout.socket("proxy"),
        "proxy_remote_address": kms_address,
        "encryption_key_id": identity.kms_key_arn,
        "manifest": str(layout.releases),
        "attestation_root": str(layout.nsm_root),
        "credentials": {
            "access_key_id": identity.access_key_id,
            "secret_access_key": identity.secret_access_key,
            "session_token": identity.session_token,
            "region": REGION,
        },
        "storage": {"driver": "file"},
    }
    config = {
        "base_dir": str(layout.base),
        "server": {"address": listeners[0], "utility_address": listeners[1], "refuse_origin": True},
        "watermark": {"driver": "file"},
        "vaults": {"nitro": {"driver": "nitro", "config": nitro}},
        "tezos": {key: _everything(key) for key in keys},
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)
    replace_durably(layout.config, (_HEAD + text).encode())


def _everything(key: str) -> dict[str, Any]:
    allow: dict[str, Any] = dict.fromkeys(sorted(set(REQUEST_KINDS) - {"generic"}))
    allow["generic"] = sorted({*OPERATION_KINDS, *BALLOTS})
    return {"allow": allow} | ({"allow_proof_of_possession": True} if key.startswith("tz4") else {})


def _settings(layout: Layout, identity: Identity, fingerprint: str) -> str:
    """The enclave's settings; paths of this laptop, and nothing that changes from run to run."""
    values: dict[str, str | list[str]] = {
        "kms_key_arns": [identity.kms_key_arn],
        "endpoint": KMS_HOST,
        "tls_roots": [fingerprint],
        "tls_roots_file": f"../kms/{laptop_ca.CA_FILE}",
        "nsm": layout.socket("nsm"),
        "listen": layout.socket("enclave"),
        "proxy": layout.socket("proxy"),
        "reference_protocol": "on",
        "schemes": [scheme.value for scheme in Scheme],
        "release": stack_releases.RELEASE,
    }
    return _HEAD + "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())


def _toml(value: str | list[str]) -> str:
    """JSON's texts and lists are TOML's too, but for DEL. Raises ConfigError."""
    if "\x7f" in str(value):
        raise ConfigError("the base folder's path has a control character")
    return json.dumps(value)
