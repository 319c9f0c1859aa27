"""AWS credentials as AWS's own tools find them: environment, profile, container, instance role.

boto3 is imported only where the environment does not hold the keys, and runs in a thread: it blocks.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signatory.errors import ConfigError, UnavailableError

NONE_FOUND = "no AWS credentials were found"
_HINT = "write them under `credentials`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Keys that sign requests, and the region that their source names, if it names one."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None


async def default_credentials(env: Mapping[str, str] = os.environ) -> AwsCredentials:
    """The credentials of the default chain, fresh at every call.

    Raises ConfigError where there are none, UnavailableError where their source does not answer.
    """
    found = _from_environment(env)
    return found if found is not None else await asyncio.to_thread(_from_chain)


def _from_environment(env: Mapping[str, str]) -> AwsCredentials | None:
    """As the chain's first link, which also wants both keys and takes the token along."""
    access_key_id, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id or not secret or env.get("AWS_PROFILE"):
        return None
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None
    return AwsCredentials(access_key_id, secret, env.get("AWS_SESSION_TOKEN") or None, region)


def _from_chain() -> AwsCredentials:
    import boto3  # noqa: PLC0415 - 0.3 s and 30 MB that most runs do not need
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - same

    try:
        session: Any = boto3.session.Session()
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError(f"AWS credentials cannot be had: {error}", hint=_HINT) from error
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise ConfigError(NONE_FOUND, hint=_HINT)
    return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token or None, session.region_name)
