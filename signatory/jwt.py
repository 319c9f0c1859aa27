"""Users who log in with a password and then carry a token. Source: signatory-compat §1.7."""

from dataclasses import dataclass, field
from datetime import datetime

PASSWORD_LENGTH = 16
SECRET_LENGTH = 32
DEFAULT_LIFETIME = 60
"""Minutes."""
MAX_LIFETIME = 24 * 60
"""Minutes that a token may be valid for, whoever made it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user logs in with, what its tokens are signed with, and how long one lasts."""

    password: str = field(repr=False)
    secret: str = field(repr=False)
    lifetime: int = DEFAULT_LIFETIME
    """Minutes."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, with the credentials that take over from the present ones at `until` (UTC), if there are any.

    Without `until` they have taken over already.
    """

    name: str
    credentials: Credentials
    successor: Credentials | None = None
    until: datetime | None = None

    def accepted(self, now: float) -> tuple[Credentials, ...]:
        """What the user may log in with, and have tokens signed with, at this Unix time; old ones first."""
        if self.successor is None:
            return (self.credentials,)
        if now < self.changes_at:
            return self.credentials, self.successor
        return (self.successor,)

    @property
    def changes_at(self) -> float:
        """The Unix time at which the successor takes over: infinity where there is none."""
        if self.successor is None:
            return float("inf")
        return float("-inf") if self.until is None else self.until.timestamp()


def weakness(credentials: Credentials) -> str | None:
    """What makes these too weak, without quoting them; None when they are strong enough."""
    return _weak("password", credentials.password, PASSWORD_LENGTH) or _weak(
        "secret", credentials.secret, SECRET_LENGTH
    )


def _weak(name: str, text: str, length: int) -> str | None:
    if len(text) < length:
        return f"{name} should be at least {length} characters"
    wanted = {
        "uppercase character": any("A" <= one <= "Z" for one in text),
        "lowercase character": any("a" <= one <= "z" for one in text),
        "digit": any("0" <= one <= "9" for one in text),
        "special character": any(" " <= one <= "~" and not one.isalnum() for one in text),
    }
    return next(
        (f"{name} should contain at least one {what}" for what, there in wanted.items() if not there), None
    )
