"""What DynamoDB answers, and what boto3 raises, in our words: retry, read back, or put something right.

The texts of AWS are not passed on: the one of a wrong signature repeats the request with its session token.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from signatory.errors import UnavailableError

Item = Mapping[str, Mapping[str, Any]]
"""An item in DynamoDB's own form: attribute to type to value."""

UNREACHED = "check region and endpoint, and that they can be reached from here"

BUSY = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes after which the same call may pass soon; nothing was done, or the same call is still under way."""

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})

_REJECTED = frozenset(
    {
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
_ACTION = re.compile(r"perform: ([a-z0-9-]{1,32}:[A-Za-z]{1,64})\b")
_CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")
_RIGHTS = {
    "transact_write_items": "dynamodb:PutItem and dynamodb:ConditionCheckItem",
    "put_item": "dynamodb:PutItem",
    "get_item": "dynamodb:GetItem",
    "scan": "dynamodb:Scan",
    "describe_table": "dynamodb:DescribeTable",
    "create_table": "dynamodb:CreateTable",
}


class CallFailedError(UnavailableError):
    """A call that did not succeed. `code` is AWS's word, or the class of what went wrong on the way."""

    def __init__(self, message: str, code: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class BusyError(CallFailedError):
    """Throttled, or in the way of another transaction: the same call may pass soon."""


class UnreachedError(BusyError):
    """Nothing answered: the call never left."""


class ExpiredError(CallFailedError):
    """The session's credentials are too old."""


class UnknownOutcomeError(CallFailedError):
    """Nobody knows whether the call took effect: the answer was lost, late, a server's error or not whole."""


class TableMissingError(CallFailedError):
    """There is no such table, or not yet."""


class TableExistsError(CallFailedError):
    """There is such a table already."""


class RefusedError(CallFailedError):
    """A condition was not met; nothing was done. `items` has what stands there, in the order of the call.

    None where the condition was met, an empty mapping where the table did not say.
    """

    def __init__(self, message: str, code: str, items: Sequence[Item | None]) -> None:
        super().__init__(message, code)
        self.items = tuple(items)


def mapped(error: Exception, operation: str, table: str) -> CallFailedError:
    """What `error`, raised by a call of boto3, means for us."""
    from botocore import exceptions as boto  # noqa: PLC0415 - 0.3 s and 30 MB that most runs do not need

    if isinstance(error, boto.ClientError):
        return _answered(error.response, operation, table)
    code, what = type(error).__name__, f"the DynamoDB table {table}"
    if isinstance(error, (boto.EndpointConnectionError, boto.ConnectTimeoutError)):
        return UnreachedError(f"{what} cannot be reached ({code})", code, hint=UNREACHED)
    if isinstance(error, boto.SSLError):
        hint = "the certificate of the endpoint is not trusted here, or something stands in between"
        return CallFailedError(f"{what} cannot be reached over TLS", code, hint=hint)
    if isinstance(error, boto.ParamValidationError):
        return CallFailedError(f"{what} was asked something that boto3 refuses ({operation})", code)
    credentials = (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.TokenRetrievalError,
    )
    if isinstance(error, credentials):
        hint = "are the instance's role, the profile or the written credentials there?"
        return ExpiredError(
            f"{what} cannot be asked: no AWS credentials can be had ({code})", code, hint=hint
        )
    return UnknownOutcomeError(f"{what} gave no whole answer ({code})", code)


def _answered(response: Mapping[str, Any], operation: str, table: str) -> CallFailedError:
    told = response.get("Error", {})
    code, what = _code(told.get("Code")), f"the DynamoDB table {table}"
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "TransactionCanceledException":
        return _cancelled(response.get("CancellationReasons"), what)
    if code == "ConditionalCheckFailedException":
        return RefusedError(f"{what} refused: the condition was not met", code, [response.get("Item") or {}])
    if code in BUSY:
        hint = "give the table more write capacity, or make it on-demand"
        return BusyError(f"{what} is busy ({code})", code, hint=hint)
    if code == "ResourceNotFoundException":
        hint = "is the region right? a daemon with `create_table: true` makes the table at its start"
        return TableMissingError(f"there is no DynamoDB table {table}", code, hint=hint)
    if code == "ResourceInUseException":
        return TableExistsError(f"{what} is there already, or just being made", code)
    return _not_let_in(code, str(told.get("Message", "")), operation, what) or _failed(
        code, status, operation, what
    )


def _not_let_in(code: str, text: str, operation: str, what: str) -> CallFailedError | None:
    if code in EXPIRED:
        hint = "renew the credentials, or use a role; is this machine's clock right?"
        return ExpiredError(f"{what} cannot be asked: the AWS credentials have expired", code, hint=hint)
    if code in _DENIED:
        match = _ACTION.search(text)
        right = match[1] if match else _RIGHTS.get(operation, f"for {operation}")
        hint = f"allow {right} on the table to the identity that the daemon uses"
        return CallFailedError(f"{what} cannot be used: the right {right} is missing", code, hint=hint)
    if code in _REJECTED:
        hint = "are the AWS credentials right, and this machine's clock?"
        return CallFailedError(
            f"{what} cannot be asked: AWS refuses the credentials ({code})", code, hint=hint
        )
    return None


def _failed(code: str, status: Any, operation: str, what: str) -> CallFailedError:
    if not isinstance(status, int) or not 400 <= status < 500:
        return UnknownOutcomeError(f"{what} has failed ({code}, status {status})", code)
    return CallFailedError(f"{what} refused {operation} ({code})", code)


def _cancelled(reasons: Any, what: str) -> CallFailedError:
    """A refused transaction. One condition that was not met settles it, whatever else came up."""
    rows = [reason if isinstance(reason, dict) else {} for reason in reasons or ()]
    codes = [_code(row.get("Code")) for row in rows]
    if "ConditionalCheckFailed" in codes:
        items = [
            (row.get("Item") or {}) if code == "ConditionalCheckFailed" else None
            for row, code in zip(rows, codes, strict=True)
        ]
        return RefusedError(f"{what} refused: a condition was not met", "TransactionCanceledException", items)
    told = [code for code in codes if code != "None"]
    if told and BUSY.issuperset(told):
        hint = "another daemon writes the same items, or the table needs more write capacity"
        return BusyError(f"{what} is busy ({told[0]})", told[0], hint=hint)
    code = next((code for code in told if code not in BUSY), "TransactionCanceledException")
    return CallFailedError(f"{what} refused the transaction ({code})", code)


def _code(value: Any) -> str:
    text = str(value)
    return text if _CODE.fullmatch(text) else "an answer without a code"
