"""How sessions reach KMS: through the parent's proxy, attested by the NSM, within the settings' limits."""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from enclave_signer import nsm
from enclave_signer.channels import Channels
from enclave_signer.recipients import Recipients
from enclave_signer.settings import Settings
from signatory.nitro.kms import Arn


@dataclass(slots=True)
class Tries:
    """How often KMS was asked, over all sessions that share it."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """What a session reaches KMS with."""

    host: str
    channels: Channels
    module: nsm.Nsm
    recipients: Recipients
    timeout: float
    """Seconds for a call with all its tries, once it has a connection and a recipient key."""
    attempts: int
    max_skew: timedelta
    """How wrong this clock may be and still be corrected by KMS's own: there is no other source of time."""
    tries: Tries = field(default_factory=Tries)

    @classmethod
    def to(
        cls,
        key: Arn,
        settings: Settings,
        module: nsm.Nsm,
        recipients: Recipients,
        tls: ssl.SSLContext,
        tries: Tries,
    ) -> Self:
        """The way to the region of a key, with connections of its own."""
        host, limits = settings.host(key), settings.limits
        channels = Channels(settings.proxy, tls, host, limits.kms_connections)
        skew = timedelta(seconds=limits.kms_clock_skew)
        return cls(host, channels, module, recipients, limits.kms_timeout, limits.kms_attempts, skew, tries)
