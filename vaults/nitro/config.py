"""What the `config` of a nitro vault may say. Source: signatory-compat, vaults; what is ours is marked."""

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from signatory.errors import ConfigError
from signatory.net.vsock import CID_ANY, Address

_U32 = 0xFFFFFFFF
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_KMS_HOST = re.compile(r"kms(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_ARN = re.compile(r"arn:[a-z-]+:kms:([a-z0-9-]+):")

LATER = "comes with a later release; this one has `file`"


class _Section(BaseModel):
    """A mapping: frozen, unknown keys refused; a key with nothing after it counts as absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return {} if data is None else data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


class StorageConfig(_Section):
    """Where sealed keys are kept. `config` is the key file, by default `enclave_keys.json` in base_dir."""

    driver: Literal["file"] = "file"
    config: str | None = Field(default=None, min_length=1)

    @field_validator("driver", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value in {"aws", "dynamodb"}:
            raise ValueError(f"the key store `{value}` {LATER}")
        return value

    @field_validator("config", mode="before")
    @classmethod
    def _a_path(cls, value: Any, info: ValidationInfo) -> Any:
        if "driver" not in info.data:
            return None  # the driver is refused already; its config is no fault of its own
        if value is not None and not isinstance(value, str):
            raise ValueError("the `file` key store takes a path")
        return value


class CredentialsConfig(_Section):
    """AWS credentials written down. Without keys, the environment and then AWS's default chain are asked."""

    access_key_id: str | None = Field(default=None, min_length=1)
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    region: str | None = Field(default=None, min_length=1, json_schema_extra={"env": "AWS_REGION"})

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key come together or not at all")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token without access_key_id and secret_access_key is of no use")
        return self


class NitroConfig(_Section):
    """The enclave, the KMS key that seals, where sealed keys are kept, and the enclave's way out."""

    enclave_cid: int = Field(default=16, ge=1, lt=_U32, json_schema_extra={"env": "ENCLAVE_CID"})
    enclave_port: int = Field(default=2000, ge=0, le=_U32, json_schema_extra={"env": "ENCLAVE_PORT"})
    enclave_address: str | None = Field(default=None, description="ours: instead of CID and port")
    encryption_key_id: str = Field(min_length=1, json_schema_extra={"env": "ENCRYPTION_KEY_ID"})
    storage: StorageConfig = Field(default_factory=StorageConfig)
    credentials: CredentialsConfig = Field(default_factory=CredentialsConfig)
    proxy_local_port: int = Field(default=8000, ge=0, le=_U32, json_schema_extra={"env": "PROXY_LOCAL_PORT"})
    proxy_local_address: str | None = Field(
        default=None, description="ours: instead of the port on every CID"
    )
    proxy_remote_address: str | None = Field(default=None, json_schema_extra={"env": "PROXY_REMOTE_ADDRESS"})
    timeout: float = Field(
        default=10.0, gt=0, le=600, allow_inf_nan=False, description="ours: one call to the enclave, seconds"
    )

    @field_validator("enclave_address", "proxy_local_address")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Address.parse(value)
            except ConfigError as error:
                raise ValueError(f"{error.message}: {error.hint}") from error
        return value

    @field_validator("proxy_remote_address")
    @classmethod
    def _a_host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            match = _HOST_PORT.fullmatch(value)
            if not match or not 1 <= int(match[2]) <= 65535:
                raise ValueError("expected HOST:PORT, such as kms.us-west-2.amazonaws.com:443")
        return value

    @property
    def enclave(self) -> Address:
        """Where the enclave listens."""
        if self.enclave_address is not None:
            return Address.parse(self.enclave_address)
        return Address("vsock", str(self.enclave_cid), self.enclave_port)

    @property
    def proxy_local(self) -> Address:
        """Where the enclave finds the proxy."""
        if self.proxy_local_address is not None:
            return Address.parse(self.proxy_local_address)
        return Address("vsock", str(CID_ANY), self.proxy_local_port)

    @property
    def proxy_remote(self) -> tuple[str, int] | None:
        """Host and port that the proxy leads to; None when there is no proxy."""
        match = _HOST_PORT.fullmatch(self.proxy_remote_address or "")
        return (match[1].strip("[]"), int(match[2])) if match else None

    @property
    def region(self) -> str | None:
        """The region as written, else as the key's ARN or the proxy's target says it, else None."""
        arn = _ARN.match(self.encryption_key_id)
        host = _KMS_HOST.fullmatch(self.proxy_remote[0]) if self.proxy_remote else None
        return (arn and arn[1]) or self.credentials.region or (host and host[1]) or None
