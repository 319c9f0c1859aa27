"""AWS credentials as AWS's own tools find them, environment, profile, container, instance role, and clients.

boto3 is imported only where it is needed, and runs in a thread: it blocks.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signatory.errors import ConfigError, UnavailableError

NONE_FOUND = "no AWS credentials were found"
_HINT = "write them into the configuration, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Keys that sign requests, and the region that their source names, if it names one."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a client waits, in seconds, and how many calls it has under way at once."""

    connect: float = 1.0
    read: float = 2.0
    calls: int = 32


def client(
    service: str,
    *,
    credentials: AwsCredentials | None,
    region: str | None,
    endpoint: str | None,
    waits: Waits,
) -> Any:
    """A boto3 client that never tries twice by itself: who calls it decides. Blocks.

    Without `credentials` those of the default chain are used, and renewed where their source does that. The
    process environment is only read. Raises ConfigError for no credentials or no region, UnavailableError.
    """
    import boto3  # noqa: PLC0415 - 0.3 s and 30 MB that most runs do not need
    from botocore.config import Config  # noqa: PLC0415 - same
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - same

    settings = Config(
        connect_timeout=waits.connect,
        read_timeout=waits.read,
        max_pool_connections=waits.calls,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
        # plain HTTP is for loopback only, where no proxy belongs; None asks the environment
        proxies={} if endpoint and endpoint.startswith("http:") else None,
    )
    try:
        session: Any = boto3.session.Session(
            aws_access_key_id=credentials.access_key_id if credentials else None,
            aws_secret_access_key=credentials.secret_access_key if credentials else None,
            aws_session_token=credentials.session_token if credentials else None,
            region_name=region or (credentials.region if credentials else None),
        )
        if session.region_name is None:
            raise ConfigError("no AWS region is known", hint="write `region`, or set AWS_REGION")
        if session.get_credentials() is None:
            raise ConfigError(NONE_FOUND, hint=_HINT)
        return session.client(service, endpoint_url=endpoint, config=settings)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UnavailableError(f"no AWS client can be made: {error}", hint=_HINT) from error


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
