"""Users for the tests of logins, and tokens made by nothing but hmac and hashlib."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from serving import Client, Reply, Running

ALICE, BOB = "alice", "bob"
PASSWORD = {ALICE: "Alice-knows-16-it", BOB: "Bob0-knows-16-ch!"}
SECRET = {ALICE: "Alice's secret of 32 characters: 1", BOB: "Bob's secret of 32 characters: 12"}
NEW_PASSWORD, NEW_SECRET = "Alice-knows-17-now", "Alice's secret of 32 characters: 2"


def users(alice: str = "") -> str:
    """A `server:` block where both may log in; `alice` is more of her entry."""
    more = {ALICE: alice, BOB: ""}
    rows = (
        f'      {name}: {{password: "{PASSWORD[name]}", secret: "{SECRET[name]}"{more[name]}}}\n'
        for name in (ALICE, BOB)
    )
    return f"  jwt:\n    users:\n{''.join(rows)}"


def rotation(until: str = "") -> str:
    """New credentials for alice, and until when the old ones are good."""
    moment = f', old_cred_exp: "{until}"' if until else ""
    return f'{moment}, new_data: {{password: "{NEW_PASSWORD}", secret: "{NEW_SECRET}"}}'


def part(value: Any) -> str:
    """One segment of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unpart(text: str) -> bytes:
    """What a segment holds."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token(
    name: str = ALICE,
    secret: str | None = None,
    *,
    algorithm: str = "HS256",
    header: Any = None,
    claims: Any = None,
    **more: Any,
) -> str:
    """A token by RFC 7519. `more` are claims; one that is None is left out."""
    given = {"exp": int(time.time()) + 3600, "user": name} | more
    if claims is None:
        claims = {key: value for key, value in given.items() if value is not None}
    signed = f"{part(header or {'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm)
    key = (SECRET[name] if secret is None else secret).encode()
    signature = hmac.new(key, signed.encode(), digest).digest() if digest else b""
    return f"{signed}.{part(signature)}"


def carries(text: str, name: str = ALICE) -> str:
    """The headers of a request with this token."""
    return f"Authorization: Bearer {text}\r\nusername: {name}\r\n"


def knows(password: str, name: str = ALICE) -> str:
    """The headers of a login."""
    return f"username: {name}\r\npassword: {password}\r\n"


async def login(asks: Client | Running, password: str = PASSWORD[ALICE], name: str = ALICE) -> Reply:
    """POST /login."""
    return await asks.ask("POST", "/login", headers=knows(password, name))
