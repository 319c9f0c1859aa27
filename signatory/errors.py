"""The errors of the product: one root, one family for each way a request can end.

An error says what happened, keeps its facts as attributes and may carry a hint: what to do about it. It
knows neither HTTP statuses nor exit codes; the edges map `kind` to them. No secret ever enters its text.
"""

from typing import ClassVar


class SignatoryError(Exception):
    """The root. `kind` is the stable word of the family; `hint`, when there is one, says what to do."""

    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class MalformedError(SignatoryError):
    """Bytes or text that are not what they claim to be."""

    kind = "malformed"


class UnauthenticatedError(SignatoryError):
    """Nobody said who asks."""

    kind = "unauthenticated"


class DeniedError(SignatoryError):
    """The one who asks may not have this."""

    kind = "denied"


class WatermarkError(SignatoryError):
    """Signing this could be signing twice."""

    kind = "watermark"


class NotFoundError(SignatoryError):
    """There is no such key."""

    kind = "not_found"


class UnavailableError(SignatoryError):
    """Something we depend on does not answer, or not in time; the same request may succeed later."""

    kind = "unavailable"


class IntegrityError(SignatoryError):
    """Somebody we depend on answered with something that is provably wrong."""

    kind = "integrity"


class ConfigError(SignatoryError):
    """What the operator wrote cannot be used as it stands."""

    kind = "config"
