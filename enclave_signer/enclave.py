"""What all sessions of the program share, and how a session gets to KMS."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from enclave_signer import nsm
from enclave_signer.checkpoints import Checkpoints
from enclave_signer.data_keys import DataKeys
from enclave_signer.kms import KmsSession
from enclave_signer.recipients import Recipients
from enclave_signer.refusals import Refusal
from enclave_signer.route import Route, Tries
from enclave_signer.sealing import Sealer
from enclave_signer.settings import Settings
from signatory.errors import DeniedError, SignatoryError
from signatory.nitro.kms import Arn, check_region
from signatory.nitro.sigv4 import AccessKey
from signatory.rpc.values import Credentials


@dataclass(slots=True)
class Enclave:
    """Made once, at the start."""

    settings: Settings
    module: nsm.Nsm
    recipients: Recipients
    tls: ssl.SSLContext
    data_keys: DataKeys = field(default_factory=DataKeys)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    tries: Tries = field(default_factory=Tries)
    started: float = field(default_factory=time.monotonic)
    """Seconds."""
    sessions: int = 0
    """Connections that are served now."""

    def kms_key(self, credentials: Credentials) -> Arn:
        """The KMS key that the host means. Raises Refusal unless the measured settings allow it."""
        try:
            return sealing_key(self.settings.kms_keys, credentials.region, credentials.encryption_key_id)
        except SignatoryError as error:
            raise Refusal("initialization error", error.message) from error

    def kms_session(self, key: Arn, access: AccessKey) -> KmsSession:
        """KMS with one host's credentials, for its session."""
        allowed = [each for each in self.settings.kms_keys if each.region == key.region]
        route = Route.to(key, self.settings, self.module, self.recipients, self.tls, self.tries)
        return KmsSession(key, allowed, access, route)

    def sealer(self, kms: KmsSession) -> Sealer:
        """Sealing with a session's rights, by the schemes of the measured settings."""
        return Sealer(kms, self.data_keys, self.settings.schemes)


def access_key(credentials: Credentials) -> AccessKey:
    return AccessKey(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)


def sealing_key(allowed: Sequence[Arn], region: str, name: str) -> Arn:
    """The allowed KMS key that a host names by full ARN or bare key id, in the region it names.

    Raises MalformedError or DeniedError; an alias is denied, since its owner can turn it to another key.
    """
    check_region(region)
    if "alias/" in name:
        raise DeniedError(
            "encryption_key_id is an alias; this enclave takes the ARN or the id of the KMS key"
        )
    found = [key for key in allowed if name in (str(key), key.key_id) and key.region == region]
    if len(found) != 1:
        raise DeniedError(f"this enclave's settings do not allow that KMS key in {region}")
    return found[0]
