"""Who asks, where clients log in: `POST /login`, and the token of every other request.

The answers are Signatory's: raw text, not JSON. Source: signatory-compat §1.7.
"""

import hashlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from signatory.jwt import Credentials, User
from signatory.limits import Limits
from signatory.policy.values import Policy
from signatory.server import requests, tokens
from signatory.server.answers import TEXT, Answer
from signatory.server.records import Records
from signatory.server.throttle import Throttle
from signatory.server.tokens import TokenError
from signatory.signer import PolicyHolder

logger = logging.getLogger("signatory")

NOTHING_GIVEN = "username and password required"
DENIED = "Access denied"
NO_TOKEN = "token required"  # noqa: S105 - a message
NO_USER = "JWT: user not found"

_BEARER = "bearer "
_NOBODY = User("", Credentials(secrets.token_urlsafe(32), secrets.token_urlsafe(32)))
"""Stands in for a user that does not exist, so that one takes as long as one that does."""


class RefusedError(Exception):
    """A request that ends here, with its answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}")
        self.answer = answer


class Logins:
    """Lets in who carries a good token, and gives one to who knows a password."""

    def __init__(
        self,
        policy: PolicyHolder,
        records: Records,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is Unix time: tokens and the end of old credentials are written in it."""
        self._policy = policy
        self._records = records
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._verified = Verified(policy.current, limits.tokens)
        # Apart: a client whose token is no good any more must still be able to log in.
        self._token_failures = Throttle(limits)
        self._login_failures = Throttle(limits)

    @property
    def required(self) -> bool:
        """Whether clients log in at all."""
        return self._policy.current.users is not None

    def user_of(self, request: web.BaseRequest) -> str | None:
        """The name of the user whose token the request carries; None where clients do not log in.

        A good token is let in whatever failed before it. Raises RefusedError: 400, 401, 429.
        """
        users = self._policy.current.users
        if users is None:
            return None
        attempt = _Attempt(self._records, self._token_failures, "jwt", requests.source(request))
        token, name = attempt.header(request, "Authorization"), attempt.header(request, "username")
        if token[: len(_BEARER)].lower() == _BEARER:
            token = token[len(_BEARER) :]
        if not token:
            raise attempt.refused(401, NO_TOKEN)
        now = self._clock()
        known = self._known()
        if known.holds(name, token, now):
            return name
        user = users.get(name)
        try:
            known.add(name, token, tokens.verify(token, user or _NOBODY, now))
        except TokenError as error:
            if error.message == tokens.WRONG_USER:
                logger.warning("JWT: Suspicious activity detected, token user does not match request user")
            counts = user is None or not error.genuine
            text = NO_USER if user is None else error.message
            raise attempt.failed(text, user, self._monotonic(), counts=counts) from None
        return name

    def login(self, request: web.BaseRequest) -> Answer:
        """The answer to `POST /login`: 201 with a token. Raises RefusedError: 400, 401, 429."""
        users: Mapping[str, User] = self._policy.current.users or {}
        attempt = _Attempt(self._records, self._login_failures, "login", requests.source(request))
        name, password = attempt.header(request, "username"), attempt.header(request, "password")
        if not name or not password:
            raise attempt.refused(401, NOTHING_GIVEN)
        now, user = self._clock(), users.get(name)
        attempt.check(user, self._monotonic())
        credentials = _matching(user or _NOBODY, password, now)
        if user is None or credentials is None:
            raise attempt.failed(DENIED, user, self._monotonic())
        token = tokens.issue(name, credentials, now)
        self._records.login(201)
        logger.info("Login", extra={"fields": {"user": name, "client_ip": attempt.source}})
        return Answer(201, token.encode(), TEXT)

    def _known(self) -> "Verified":
        """The tokens that are known to be good under the policy in force: a new one forgets them all."""
        policy = self._policy.current
        if self._verified.policy is not policy:
            self._verified = Verified(policy, self._limits.tokens)
        return self._verified


class _Attempt:
    """One request that says who asks, and how it is refused."""

    def __init__(self, records: Records, throttle: Throttle, method: str, source: str) -> None:
        self._records = records
        self._throttle = throttle
        self._method = method
        self.source = source

    def header(self, request: web.BaseRequest, name: str) -> str:
        """A header, empty where there is none. What stands there twice is refused: two could read two."""
        values = request.headers.getall(name, ())
        if len(values) > 1:
            raise self.refused(400, f"more than one {name} header")
        return values[0] if values else ""

    def check(self, user: User | None, now: float) -> None:
        """Turn away who failed too often."""
        wait = self._throttle.wait(user.name if user else None, self.source, now)
        if wait > 0:
            seconds = math.ceil(wait)
            text = f"too many failures, try again in {seconds} s"
            raise self.refused(429, text, f"Retry-After: {seconds}\r\n")

    def failed(self, text: str, user: User | None, now: float, *, counts: bool = True) -> RefusedError:
        """The refusal of who failed; a failure that `counts` is taken from the buckets."""
        if counts:
            self.check(user, now)
            self._throttle.failed(user.name if user else None, self.source, now)
        fields = {"auth_method": self._method, "client_ip": self.source}
        if user:
            fields["user"] = user.name  # a name that is no user's may be anything, a password too
        logger.warning("Authentication failed: %s", text, extra={"fields": fields})
        return self.refused(401, text)

    def refused(self, status: int, text: str, more: str = "") -> RefusedError:
        """Counted, and in plain text."""
        self._records.unauthenticated(status, self.source, self._method)
        if self._method == "login":
            self._records.login(status)
        return RefusedError(Answer(status, text.encode(), TEXT, headers=more))


class Verified:
    """Tokens that were found good, by their digests, until they are good no longer."""

    def __init__(self, policy: Policy, most: int) -> None:
        self.policy = policy
        self._most = most
        self._until: dict[tuple[str, bytes], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def holds(self, name: str, token: str, now: float) -> bool:
        """Whether this token of this user is known to be good."""
        key = (name, _digest(token))
        until = self._until.get(key)
        if until is None or now < until:
            return until is not None
        del self._until[key]
        return False

    def add(self, name: str, token: str, until: float) -> None:
        """Remember it until that Unix time, and forget the oldest where there is no room."""
        if len(self._until) >= self._most:
            del self._until[next(iter(self._until))]
        self._until[name, _digest(token)] = until


def _matching(user: User, password: str, now: float) -> Credentials | None:
    """The credentials with this password. As much work for every user: there are two to compare, always."""
    given, found = _digest(password), None
    accepted = user.accepted(now)
    for credentials in (*accepted, *_NOBODY.accepted(now))[:2]:
        if hmac.compare_digest(given, _digest(credentials.password)):
            found = credentials
    return found


def _digest(text: str) -> bytes:
    """Of text from a header: bytes that are no UTF-8 stand in it as surrogates."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=32).digest()
