"""Calls to KMS as somebody outside of the enclave makes them: by boto3, without an attestation document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli import asking
from cli.kms_check.rows import Row
from signatory.errors import ConfigError, MalformedError
from signatory.net.aws import AwsCredentials
from signatory.nitro.texts import json_object

DENIED = "AccessDenied"
DENIED_BY_POLICY = "AccessDenied by the key policy"
ALLOWED = "allowed"

_BY_POLICY = "with an explicit deny in a resource-based policy"
_DRY_RUN = "DryRunOperationException"
"""How KMS says that a call would have been allowed."""

_NAMES = (
    ("AccessKeyId", "SecretAccessKey", "SessionToken"),
    ("access_key_id", "secret_access_key", "session_token"),
)


class Caller:
    """One principal at one KMS."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def open(
        cls,
        *,
        region: str,
        endpoint: str | None,
        ca: Path | None,
        credentials: AwsCredentials | None,
        profile: str | None,
    ) -> "Caller":
        """Without `credentials`, those of boto3's default chain. Raises ConfigError."""
        import boto3  # noqa: PLC0415 - 0.3 s and 30 MB that most runs do not need
        from botocore.config import Config  # noqa: PLC0415 - same
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - same

        settings = Config(
            connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"}
        )
        if ca is not None and not ca.is_file():
            raise ConfigError(f"there is no file {ca}")
        try:
            session = boto3.session.Session(
                aws_access_key_id=credentials.access_key_id if credentials else None,
                aws_secret_access_key=credentials.secret_access_key if credentials else None,
                aws_session_token=credentials.session_token if credentials else None,
                region_name=region,
                profile_name=profile,
            )
            if session.get_credentials() is None:
                raise ConfigError(
                    "no AWS credentials were found", hint="give --credentials-file, --profile, or --vault"
                )
            verify = None if ca is None else str(ca)
            return cls(session.client("kms", endpoint_url=endpoint, verify=verify, config=settings))
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"no KMS client can be made: {error}") from error

    def row(self, call: str, operation: str, expected: str, /, **members: Any) -> Row:
        """Make the call, a method of boto3's client. What is not an answer of KMS is never a pass."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see open

        try:
            getattr(self._client, operation)(**members)
        except ClientError as error:
            found = error.response.get("Error", {})
            name, message = str(found.get("Code", "")), _printable(str(found.get("Message", "")))
            if name == _DRY_RUN:
                return Row(call, expected, ALLOWED, expected == ALLOWED)
            return Row(call, expected, f"{name}: {message}".rstrip(": "), _is_denied(expected, name, message))
        except BotoCoreError as error:
            return Row(call, expected, f"no answer: {_printable(str(error))}", good=False)
        return Row(call, expected, ALLOWED, expected == ALLOWED)


def read_credentials(path: Path) -> AwsCredentials:
    """JSON as `aws sts assume-role` prints it, or with the names of our configuration.

    Raises ConfigError, and MalformedError, whose text quotes nothing of the file.
    """
    try:
        found = json_object(asking.read_file(path, "the credentials"))
    except MalformedError:
        raise MalformedError(f"{path} is not a JSON object") from None
    inner = found.get("Credentials", found)
    if isinstance(inner, dict):
        for access, secret, token in _NAMES:
            if credentials := _credentials(inner, access, secret, token):
                return credentials
    raise MalformedError(f"{path} has no AccessKeyId and SecretAccessKey")


def _credentials(found: Mapping[str, Any], access: str, secret: str, token: str) -> AwsCredentials | None:
    keys, session = (found.get(access), found.get(secret)), found.get(token)
    if not all(isinstance(key, str) and key for key in keys) or not isinstance(session, str | None):
        return None
    return AwsCredentials(str(keys[0]), str(keys[1]), session or None)


def _is_denied(expected: str, name: str, message: str) -> bool:
    if name != "AccessDeniedException":
        return False
    return expected == DENIED or (expected == DENIED_BY_POLICY and _BY_POLICY in message)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:1024])
