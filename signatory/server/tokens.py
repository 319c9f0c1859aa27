"""JSON Web Tokens as Signatory makes them, and only those: HS256 with the user's own secret, `exp`, `user`.

Refusals have the words of golang-jwt, which Signatory's clients see. Source: signatory-compat §1.7.
"""

import json
import math
import re
from typing import Any

import jwt

from signatory.errors import ConfigError, UnauthenticatedError
from signatory.jwt import MAX_LIFETIME, Credentials, User

ALGORITHM = "HS256"
MAX_LENGTH = 4096
"""Characters of a token; ours have some 150."""

WRONG_USER = "JWT: invalid token"

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_FAMILIES = re.compile(r"(?:HS|RS|ES|PS)(?:256|384|512)|EdDSA")
_MALFORMED = "token is malformed: "
_CLAIMS = "token has invalid claims: "
_NO_NONE = "token signature is invalid: token is unverifiable: 'none' signature type is not allowed"
_HMAC = jwt.PyJWS(algorithms=[ALGORITHM])


class TokenError(UnauthenticatedError):
    """A token that is not accepted. `genuine`: its signature is good, so that nobody guessed anything."""

    def __init__(self, message: str, *, genuine: bool = False) -> None:
        super().__init__(message)
        self.genuine = genuine


def issue(name: str, credentials: Credentials, now: float) -> str:
    """A new token. Raises ConfigError for a secret that the library takes for a key of another kind."""
    claims = {"exp": int(now) + credentials.lifetime * 60, "user": name}
    try:
        return jwt.encode(claims, credentials.secret, ALGORITHM)
    except jwt.exceptions.InvalidKeyError as error:
        raise ConfigError(_not_a_secret(name), hint="choose a random text as the secret") from error


def verify(token: str, user: User, now: float) -> float:
    """The Unix time until which this token of the user is good, at most 24 hours ahead. Raises TokenError."""
    payload, until = _signed(token, user, now)
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise TokenError(f"{_MALFORMED}could not JSON decode claim", genuine=True) from None
    if not isinstance(claims, dict):
        raise TokenError(f"{_MALFORMED}could not JSON decode claim", genuine=True)
    expiry = _time(claims, "exp")
    begins = _time(claims, "nbf")
    if expiry is None:
        raise _claim("token is missing required claim: exp claim is required")
    if now >= expiry:
        raise _claim("token is expired")
    if begins is not None and now < begins:
        raise _claim("token is not valid yet")
    if expiry > now + MAX_LIFETIME * 60:
        raise _claim("token is valid for more than 24 hours")
    if claims.get("user") != user.name:
        raise TokenError(WRONG_USER, genuine=True)
    return min(expiry, until)


def _signed(token: str, user: User, now: float) -> tuple[bytes, float]:
    """The payload, and until when what it was signed with is in force."""
    _check_shape(token)
    for credentials in user.accepted(now):
        try:
            found = _HMAC.decode_complete(token, credentials.secret.encode(), algorithms=[ALGORITHM])
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidAlgorithmError:
            raise TokenError(_wrong_algorithm(token)) from None
        except jwt.exceptions.InvalidKeyError as error:
            raise ConfigError(_not_a_secret(user.name), hint="choose a random text as the secret") from error
        except jwt.PyJWTError:
            raise TokenError(f"{_MALFORMED}it cannot be decoded") from None
        changes = credentials is user.credentials
        return found["payload"], user.changes_at if changes else math.inf
    raise TokenError("token signature is invalid: signature is invalid")


def _check_shape(token: str) -> None:
    if token.count(".") != 2:
        raise TokenError(f"{_MALFORMED}token contains an invalid number of segments")
    if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
        raise TokenError(f"{_MALFORMED}could not base64 decode header")


def _wrong_algorithm(token: str) -> str:
    """Only names that everybody knows are repeated; the header is the client's."""
    name = jwt.get_unverified_header(token).get("alg")
    if name == "none":
        return _NO_NONE
    if isinstance(name, str) and _FAMILIES.fullmatch(name):
        return f"token signature is invalid: signing method {name} is invalid"
    return "token is unverifiable: signing method (alg) is unavailable"


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or (isinstance(value, float) and not math.isfinite(value)):
        raise _claim(f"invalid type for claim: {name} is invalid")
    return value  # type: ignore[no-any-return]  # judged above


def _claim(text: str) -> TokenError:
    return TokenError(_CLAIMS + text, genuine=True)


def _not_a_secret(name: str) -> str:
    return f"JWT: the secret of user {name} is a key of another kind"
