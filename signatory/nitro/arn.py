"""Regions and key ARNs of AWS KMS, in the only shapes that are safe to build a host name or a policy from."""

import re
from dataclasses import dataclass

from signatory.errors import MalformedError

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
_ARN = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov|aws-iso|aws-iso-b|aws-iso-e|aws-iso-f|aws-eusc):kms:"
    r"([a-z0-9-]{1,32}):([0-9]{12}):key/"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
)


def check_region(text: str) -> str:
    """The region's name, safe to put into a host name. Raises MalformedError."""
    if len(text) > 32 or not _REGION.fullmatch(text):
        raise MalformedError(
            f"{text[:64]!r} is not the name of an AWS region", hint="a region looks like us-west-2"
        )
    return text


def host_of(region: str) -> str:
    """KMS's host name in a region. Raises MalformedError."""
    suffix = "amazonaws.com.cn" if check_region(region).startswith("cn-") else "amazonaws.com"
    return f"kms.{region}.{suffix}"


@dataclass(frozen=True, slots=True)
class Arn:
    """The full ARN of one KMS key; never an alias, which its owner may turn to another key."""

    partition: str
    region: str
    account: str
    key_id: str

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """Raises MalformedError."""
        if match := _ARN.fullmatch(text):
            return cls(match[1], check_region(match[2]), match[3], match[4])
        raise MalformedError(
            f"{text[:128]!r} is not the ARN of a KMS key",
            hint="it looks like arn:aws:kms:REGION:ACCOUNT:key/ID",
        )

    def __str__(self) -> str:
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:key/{self.key_id}"


def is_arn(text: str) -> bool:
    """Whether this is the ARN of a key, and not an id or an alias."""
    return _ARN.fullmatch(text) is not None
