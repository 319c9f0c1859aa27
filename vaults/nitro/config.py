"""What the `config` of a nitro vault may say. Source: signatory-compat, vaults; what is ours is marked."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from signatory.config.aws import AwsCredentialsConfig, Endpoint, Region, TableName
from signatory.config.section import Section
from signatory.errors import ConfigError
from signatory.net.aws import AwsCredentials
from signatory.net.dynamodb import TableSettings
from signatory.net.vsock import CID_ANY, Address
from signatory.nitro.attestation import Registers
from signatory.nitro.sealed import Scheme
from vaults.nitro.negotiation import Protocol
from vaults.nitro.registers import check_registers, read_registers

_U32 = 0xFFFFFFFF
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_KMS_HOST = re.compile(r"kms(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_ARN = re.compile(r"arn:[a-z-]+:kms:([a-z0-9-]+):")


class TablesConfig(AwsCredentialsConfig):
    """Two DynamoDB tables. Without credentials of their own, those of the vault reach them."""

    table: TableName = "encrypted_keys"
    """Signatory's."""
    sealed_table: TableName = "sealed_keys"
    """Ours: everything that Signatory does not read."""
    endpoint: Endpoint | None = None
    """Ours: the URL of a VPC endpoint or of an emulator."""
    create_table: bool = True
    """Ours: false where the daemon has no right to make tables, or must not by mistake."""

    @model_validator(mode="after")
    def _two_tables(self) -> Self:
        if self.table == self.sealed_table:
            raise ValueError("table and sealed_table must be two tables: Signatory fails on our records")
        return self

    def settings(self, otherwise: AwsCredentials | None) -> tuple[TableSettings, TableSettings]:
        """Both tables for the edge that calls them; `otherwise` where no credentials stand here."""
        credentials = self.written or otherwise
        first, second = (
            TableSettings(name, self.region, self.endpoint, credentials, self.create_table)
            for name in (self.table, self.sealed_table)
        )
        return first, second


class StorageConfig(Section):
    """Where sealed keys are kept: `config` is a path for `file`, a mapping for `aws` alias `dynamodb`."""

    driver: Literal["file", "aws", "dynamodb"] = "file"
    config: Annotated[str, Field(min_length=1)] | TablesConfig | None = None

    @field_validator("driver")
    @classmethod
    def _one_name(cls, value: str) -> str:
        return "aws" if value == "dynamodb" else value

    @field_validator("config", mode="plain")
    @classmethod
    def _of_its_driver(cls, value: Any, info: ValidationInfo) -> Any:
        if "driver" not in info.data:
            return None  # the driver is refused already; its config is no fault of its own
        if info.data["driver"] == "aws":
            return TablesConfig.model_validate(value)
        if value is not None and (not isinstance(value, str) or not value):
            raise ValueError("the `file` key store takes a path")
        return value

    @property
    def path(self) -> str | None:
        """The key file as written, of the driver `file`; None for the usual one beside the daemon's data."""
        return self.config if isinstance(self.config, str) else None

    @property
    def tables(self) -> TablesConfig | None:
        """The tables of the driver `aws`; None for the other one."""
        if self.driver != "aws":
            return None
        return self.config if isinstance(self.config, TablesConfig) else TablesConfig()


class CredentialsConfig(AwsCredentialsConfig):
    """AWS credentials written down. Without keys, the environment and then AWS's default chain are asked."""

    region: Region | None = Field(default=None, json_schema_extra={"env": "AWS_REGION"})


class NitroConfig(Section):
    """The enclave, what it must be, the KMS key that seals, the key store, and the enclave's way out."""

    enclave_cid: int = Field(default=16, ge=1, lt=_U32, json_schema_extra={"env": "ENCLAVE_CID"})
    enclave_port: int = Field(default=2000, ge=0, le=_U32, json_schema_extra={"env": "ENCLAVE_PORT"})
    enclave_address: str | None = Field(default=None, description="ours: instead of CID and port")
    enclave_protocol: Protocol = Field(default=Protocol.AUTO, description="ours")
    expected_pcrs: Annotated[Registers, PlainValidator(read_registers)] | None = Field(
        default=None, description="ours: the registers of the one image that may be spoken to"
    )
    manifest: str | None = Field(
        default=None, min_length=1, description="ours: a release manifest, instead of expected_pcrs"
    )
    attestation_root: str | None = Field(
        default=None, min_length=1, description="ours: a certificate file, instead of AWS's root"
    )
    allow_debug: bool = Field(default=False, description="ours: take an enclave in debug mode")
    encryption_key_id: str = Field(min_length=1, json_schema_extra={"env": "ENCRYPTION_KEY_ID"})
    sealing: Scheme | None = Field(default=None, description="ours: how new keys are sealed")
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

    @model_validator(mode="after")
    def _pinned_sensibly(self) -> Self:
        if self.expected_pcrs is not None:
            if self.manifest is not None:
                raise ValueError("expected_pcrs and manifest both say which image is expected; write one")
            check_registers(self.expected_pcrs, allow_debug=self.allow_debug)
        if self.enclave_protocol is Protocol.REFERENCE:
            self._check_reference()
        return self

    def _check_reference(self) -> None:
        for name in ("expected_pcrs", "manifest", "attestation_root"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} cannot be checked over the reference protocol, which attests nothing; "
                    "leave enclave_protocol out, or leave this out"
                )
        if self.sealing not in {None, Scheme.KMS_ENCRYPT}:
            raise ValueError("the reference protocol seals by kms-encrypt-v0 only; leave sealing out")

    @property
    def protocol(self) -> Protocol:
        """As written; an expected image implies the extended one."""
        pinned = self.expected_pcrs is not None or self.manifest is not None
        return Protocol.EXTENDED if pinned else self.enclave_protocol

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
