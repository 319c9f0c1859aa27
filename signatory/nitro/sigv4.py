"""AWS Signature Version 4 over headers, both ends: `sign` for the caller, `verify` for the one who is called.

Pure: the time is an argument. Requests carry no query string (the JSON protocols have none). Source: AWS IAM
User Guide, "Create a signed AWS API request"; the names of refusals are those that AWS puts in `__type`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import quote

from signatory.errors import MalformedError, UnauthenticatedError

ALGORITHM = "AWS4-HMAC-SHA256"

MAX_SKEW = timedelta(minutes=5)
"""How far a request's time may be from the clock of the one who checks it."""

_UNSIGNED = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)
"""Headers that proxies may change; the SDKs do not sign them either."""

_TIME = "%Y%m%dT%H%M%SZ"
_TIME_SHAPE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,128}")
_TOKEN = re.compile(r"[!-~]{1,8192}")
_SCOPE_PART = re.compile(r"[a-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[ -~\t]*")
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,128}")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 "
    r"Credential=([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request, ?"
    r"SignedHeaders=([a-z0-9-]+(?:;[a-z0-9-]+)*), ?"
    r"Signature=([0-9a-f]{64})"
)

Refusal = Literal[
    "MissingAuthenticationTokenException",
    "IncompleteSignatureException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
]


class SignatureRefusedError(UnauthenticatedError):
    """The request is not signed by the one it names, or not now; `name` is AWS's word for it."""

    def __init__(self, name: Refusal, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AWS access key; temporary ones have a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The Authorization header, taken apart. `date` is YYYYMMDD, `signature` 64 hex digits."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def sign(  # noqa: PLR0913, PLR0917  a request has that many parts
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: AccessKey,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """`headers` and what signing adds: Host, X-Amz-Date, X-Amz-Security-Token, Authorization.

    `now` must know its zone. Raises MalformedError for a key, scope or header that cannot be sent as it is.
    """
    _check_key(credentials)
    time = now.astimezone(UTC).strftime(_TIME)
    added = {"Host": host, "X-Amz-Date": time}
    if credentials.session_token is not None:
        added["X-Amz-Security-Token"] = credentials.session_token
    replaced = {name.lower() for name in added} | {"authorization"}
    complete = {name: value for name, value in headers.items() if name.lower() not in replaced} | added
    lowered = _lowered(complete)
    signed = tuple(sorted(set(lowered) - _UNSIGNED))
    canonical = canonical_request(method, path, lowered, signed, body)
    authorization = Authorization(credentials.access_key_id, time[:8], region, service, signed, "")
    made = signature(canonical, authorization, time, credentials)
    return complete | {"Authorization": _authorization_text(authorization, made)}


def verify(  # noqa: PLR0913, PLR0917  a request has that many parts
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: AccessKey,
    region: str,
    service: str,
    now: datetime,
    *,
    max_skew: timedelta = MAX_SKEW,
) -> Authorization:
    """Check a request against the key it names (found by parse_authorization) and give its Authorization.

    Whether the key itself has expired is for the caller to know. Raises SignatureRefusedError.
    """
    lowered = _lowered_or_refused(headers)
    authorization = parse_authorization(lowered.get("authorization"))
    time = lowered.get("x-amz-date", "")
    _check_time(time, now, max_skew)
    _check_scope(authorization, time, region, service)
    _check_token(authorization, lowered, credentials)
    unsigned = _must_be_signed(lowered) - set(authorization.signed_headers)
    if unsigned or not set(authorization.signed_headers) <= set(lowered):
        named = ", ".join(sorted(unsigned)) or "a header that is not there"
        raise SignatureRefusedError(
            "InvalidSignatureException", f"SignedHeaders does not fit the request: {named}"
        )
    try:
        canonical = canonical_request(method, path, lowered, authorization.signed_headers, body)
    except MalformedError as error:
        raise SignatureRefusedError("InvalidSignatureException", str(error)) from None
    if not hmac.compare_digest(
        signature(canonical, authorization, time, credentials), authorization.signature
    ):
        raise SignatureRefusedError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return authorization


def parse_authorization(value: str | None) -> Authorization:
    """Read the header's value. Raises SignatureRefusedError."""
    if not value:
        raise SignatureRefusedError("MissingAuthenticationTokenException", "Missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(value)
    signed = tuple(match[5].split(";")) if match else ()
    if match is None or list(signed) != sorted(set(signed)):
        raise SignatureRefusedError(
            "IncompleteSignatureException",
            "Authorization must be AWS4-HMAC-SHA256 with Credential, SignedHeaders (sorted) and Signature",
        )
    return Authorization(match[1], match[2], match[3], match[4], signed, match[6])


def canonical_request(
    method: str, path: str, lowered: Mapping[str, str], signed: tuple[str, ...], body: bytes
) -> str:
    """The text whose hash is signed; `lowered` has lower-case names. Raises MalformedError."""
    if (
        not path.isascii()
        or not path.startswith("/")
        or "//" in path
        or "?" in path
        or {".", ".."} & set(path.split("/"))
    ):
        raise MalformedError(f"the path {path!r} is not in the form that is signed")
    lines = [f"{name}:{' '.join(lowered[name].split())}" for name in signed]
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join([method.upper(), quote(path, safe="/~"), "", *lines, "", ";".join(signed), digest])


def signature(canonical: str, authorization: Authorization, time: str, credentials: AccessKey) -> str:
    """The 64 hex digits for a canonical request; `time` is the value of X-Amz-Date."""
    scope = (authorization.date, authorization.region, authorization.service, "aws4_request")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, "\n".join((ALGORITHM, time, "/".join(scope), digest)).encode(), "sha256").hex()


def _authorization_text(authorization: Authorization, made: str) -> str:
    parts = (authorization.access_key_id, authorization.date, authorization.region, authorization.service)
    if not all(_SCOPE_PART.fullmatch(part) for part in parts[2:]):
        raise MalformedError("region and service must be of a-z, 0-9 and -")
    credential = "/".join((*parts, "aws4_request"))
    signed = ";".join(authorization.signed_headers)
    return f"{ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={made}"


def _check_key(key: AccessKey) -> None:
    if not _ACCESS_KEY_ID.fullmatch(key.access_key_id):
        raise MalformedError("the access key id is not of letters, digits and _")
    if not key.secret_access_key:
        raise MalformedError("the secret access key is empty")
    if key.session_token is not None and not _TOKEN.fullmatch(key.session_token):
        raise MalformedError("the session token is not printable ASCII without blanks")


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name.lower()) or not _HEADER_VALUE.fullmatch(value):
            raise MalformedError(f"the header {name[:64]!r} cannot be sent as it is")
        if name.lower() in lowered:
            raise MalformedError(f"the header {name!r} twice")
        lowered[name.lower()] = value
    return lowered


def _lowered_or_refused(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return _lowered(headers)
    except MalformedError as error:
        raise SignatureRefusedError("IncompleteSignatureException", str(error)) from None


def _must_be_signed(lowered: Mapping[str, str]) -> set[str]:
    return (
        {"host"} | {name for name in lowered if name.startswith("x-amz-")} | ({"content-type"} & set(lowered))
    )


def _check_time(time: str, now: datetime, max_skew: timedelta) -> None:
    try:
        then = datetime.strptime(time, _TIME).replace(tzinfo=UTC) if _TIME_SHAPE.fullmatch(time) else None
    except ValueError:
        then = None
    if then is None:
        raise SignatureRefusedError("IncompleteSignatureException", "X-Amz-Date must be YYYYMMDDTHHMMSSZ")
    clock = now.astimezone(UTC)
    if then < clock - max_skew:
        late = f"Signature expired: {time} is now earlier than {(clock - max_skew).strftime(_TIME)}"
        raise SignatureRefusedError("InvalidSignatureException", late)
    if then > clock + max_skew:
        early = f"Signature not yet current: {time} is still later than {(clock + max_skew).strftime(_TIME)}"
        raise SignatureRefusedError("InvalidSignatureException", early)


def _check_scope(authorization: Authorization, time: str, region: str, service: str) -> None:
    if authorization.date != time[:8]:
        raise SignatureRefusedError(
            "InvalidSignatureException", "Date in Credential scope does not match that of X-Amz-Date"
        )
    if (authorization.region, authorization.service) != (region, service):
        raise SignatureRefusedError(
            "InvalidSignatureException",
            f"Credential should be scoped to region {region!r}, service {service!r}",
        )


def _check_token(authorization: Authorization, lowered: Mapping[str, str], credentials: AccessKey) -> None:
    given = lowered.get("x-amz-security-token", "")
    same_token = hmac.compare_digest(given.encode(), (credentials.session_token or "").encode())
    if not same_token or authorization.access_key_id != credentials.access_key_id:
        raise SignatureRefusedError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
