"""The `server:` section: listeners, and who may talk to them."""

from typing import Self

from pydantic import model_validator

from signatory.config.jwt import JwtConfig
from signatory.config.problems import Findings
from signatory.config.section import HostPort, Listener, PathText, PublicKeys, Section


class TlsConfig(Section):
    """Ours: TLS on the main listener. The files are read again at each reload."""

    certificate: PathText
    """PEM: the certificate, then those that lead to its root."""
    key: PathText
    """PEM, without a password."""
    client_ca: PathText | None = None
    """PEM: clients must show a certificate that one of these signed."""


class ServerConfig(Section):
    """Listeners and who may talk to them."""

    address: Listener = HostPort("", 6732)
    utility_address: Listener = HostPort("", 9583)
    authorized_keys: PublicKeys | None = None
    """None: anybody may ask. Empty: nobody may."""
    jwt: JwtConfig | None = None
    tls: TlsConfig | None = None
    allow_list_known_keys: bool = False
    """Ours: answer `/known_keys`."""
    allow_dry_run: bool = False
    """Ours: answer `POST /keys/PKH?dry_run=1`, which says what the policy decides and never signs."""
    reload: bool = False
    """Ours: answer `POST /reload` from loopback."""
    refuse_origin: bool = False
    """Ours: refuse requests with an `Origin` header, that is, from web pages."""

    @model_validator(mode="after")
    def _two_listeners(self) -> Self:
        if self.address == self.utility_address and self.address.port:
            raise Findings([(("utility_address",), "is the same as `address`; each needs a port of its own")])
        return self
