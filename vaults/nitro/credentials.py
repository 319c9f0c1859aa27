"""The AWS credentials that the enclave calls KMS with, from the configuration or AWS's default chain."""

from pydantic import SecretStr

from signatory.errors import ConfigError
from signatory.net.aws import default_credentials
from signatory.rpc.values import Credentials
from vaults.nitro.config import NitroConfig


async def credentials(config: NitroConfig) -> Credentials:
    """What the enclave is handed, fresh at every call.

    Raises ConfigError where keys or region miss, UnavailableError where their source does not answer.
    """
    written = config.credentials
    region = config.region
    if written.access_key_id is not None:
        keys = written.access_key_id, _secret(written.secret_access_key) or "", _secret(written.session_token)
    else:
        found = await default_credentials()
        keys = found.access_key_id, found.secret_access_key, found.session_token
        region = region or found.region
    if region is None:
        raise ConfigError(
            "the AWS region of the KMS key is not known",
            hint="write the key as an ARN, or set credentials.region or AWS_REGION",
        )
    return Credentials(*keys, encryption_key_id=config.encryption_key_id, region=region)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
