"""Tokens on real sockets: who is let in, who is not, and with which words."""

import json
import logging
import time

import pytest
from people import (
    ALICE,
    BOB,
    NEW_PASSWORD,
    NEW_SECRET,
    PASSWORD,
    SECRET,
    carries,
    knows,
    login,
    part,
    rotation,
    token,
    unpart,
    users,
)
from serving import EVERYTHING, TRANSACTION, TZ1, TZ4, Reply, Running, ScriptedVault, serving, settings

from signatory.config.load import policy_of

JWT = users()
BODY = json.dumps(TRANSACTION.hex()).encode()
INVALID = "token has invalid claims: "


async def sign(running: Running, headers: str = "", pkh: str = TZ1) -> Reply:
    return await running.ask("POST", f"/keys/{pkh}", BODY, headers)


def assert_refused(reply: Reply, text: str, status: int = 401) -> None:
    """The answers of Signatory's login are plain text, without JSON and without a newline."""
    assert (reply.status, reply.body.decode()) == (status, text)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_who_logs_in_gets_a_token_that_signs() -> None:
    async with serving(server=JWT) as running:
        given = await login(running)
        signed = await sign(running, carries(given.body.decode()))
        bare = await sign(running, f"Authorization: {given.body.decode()}\r\nUserName: {ALICE}\r\n")
    assert (given.status, given.headers["content-type"]) == (201, "text/plain; charset=utf-8")
    assert not given.body.endswith(b"\n")
    assert (signed.status, bare.status) == (200, 200)


async def test_a_token_is_what_signatory_makes_and_lasts_as_long_as_its_user_was_given() -> None:
    async with serving(server=users(", jwt_exp: 5")) as running:
        before = int(time.time())
        texts = [(await login(running, PASSWORD[name], name)).body.decode() for name in (ALICE, BOB)]
        after = int(time.time())
    for text, name, minutes in zip(texts, (ALICE, BOB), (5, 60), strict=True):
        head, body, _ = text.split(".")
        claims = json.loads(unpart(body))
        assert json.loads(unpart(head)) == {"alg": "HS256", "typ": "JWT"}
        assert set(claims) == {"exp", "user"}
        assert claims["user"] == name
        assert before + minutes * 60 <= claims["exp"] <= after + minutes * 60
        assert text.split(".")[2] == token(name, header=unpart(head), claims=unpart(body)).split(".")[2]


@pytest.mark.parametrize(
    "headers",
    [
        "",
        f"username: {ALICE}\r\n",
        f"password: {PASSWORD[ALICE]}\r\n",
        knows(""),
    ],
)
async def test_a_login_without_both_headers_is_refused(headers: str) -> None:
    async with serving(server=JWT) as running:
        assert_refused(await running.ask("POST", "/login", headers=headers), "username and password required")


@pytest.mark.parametrize(
    ("name", "password"),
    [(ALICE, "x"), (ALICE, PASSWORD[BOB]), ("nobody", PASSWORD[ALICE]), (ALICE.upper(), PASSWORD[ALICE]),
     (ALICE, PASSWORD[ALICE].upper()), (ALICE, PASSWORD[ALICE] + "!"), ("\xff\xfe", "\xff")],
)  # fmt: skip
async def test_a_wrong_password_and_an_unknown_user_are_refused_alike(name: str, password: str) -> None:
    async with serving(server=JWT) as running:
        client = await running.client()
        await client.send(f"POST /login HTTP/1.1\r\nHost: x\r\n{knows(password, name)}\r\n".encode("latin-1"))
        assert_refused(await client.reply(), "Access denied")


ROUTES = [("GET", f"/keys/{TZ1}"), ("GET", "/authorized_keys"), ("GET", "/known_keys"),
          ("GET", f"/bls_prove_possession/{TZ4}"), ("POST", f"/keys/{TZ1}"), ("POST", "/keys/x")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_but_the_login_needs_a_token(method: str, path: str) -> None:
    vault = ScriptedVault()
    async with serving(vault, server=JWT) as running:
        assert_refused(await running.ask(method, path, b'"03"'), "token required")
        metrics = await running.metrics()
    assert vault.listed == 1  # at the start
    assert "sign_handler_requests_total{" not in metrics


async def test_with_a_token_the_other_routes_answer_as_ever() -> None:
    async with serving(server=JWT) as running:
        headers = carries(token())
        key = await running.ask("GET", f"/keys/{TZ1}", headers=headers)
        clients = await running.ask("GET", "/authorized_keys", headers=headers)
    assert (key.status, clients.status, clients.body) == (200, 200, b"{}\n")


async def test_a_reload_needs_a_token_too() -> None:
    async with serving(server=JWT + "  reload: true\n") as running:
        for method in ("GET", "POST"):
            assert_refused(await running.ask(method, "/reload"), "token required")
        told = await running.ask("GET", "/reload", headers=carries(token()))
    assert told.status == 200


async def test_paths_and_methods_that_nobody_serves_are_not_asked_for_a_token() -> None:
    async with serving(server=JWT) as running:
        replies = [
            await running.ask(*what)
            for what in (("GET", "/nothing"), ("PUT", f"/keys/{TZ1}"), ("GET", "/login"))
        ]
    assert [reply.status for reply in replies] == [404, 405, 405]


async def test_without_logins_there_is_no_login_and_headers_mean_nothing() -> None:
    async with serving() as running:
        absent = await login(running)
        signed = await sign(running, carries("nonsense", "nobody"))
    assert (absent.status, absent.body, signed.status) == (404, b"404 page not found\n", 200)


async def test_where_nobody_is_a_user_nobody_is_let_in() -> None:
    async with serving(server="  jwt: {users: {}}\n") as running:
        assert (await login(running)).status == 401
        assert_refused(await sign(running, carries(token())), "JWT: user not found")


FAR = int(time.time()) + 48 * 3600
"""Farther than a day, however late the suite comes here."""

BAD = {
    "no token": ("", "token required"),
    "no user": (f"Authorization: Bearer {token()}\r\n", "JWT: user not found"),
    "unknown user": (carries(token(), "eve"), "JWT: user not found"),
    "another user's token": (carries(token(BOB)), "token signature is invalid: signature is invalid"),
    "a token in another's name": (carries(token(secret=SECRET[ALICE], user=BOB)), "JWT: invalid token"),
    "nobody's token": (carries(token(user=None)), "JWT: invalid token"),
    "a number as user": (carries(token(user=7)), "JWT: invalid token"),
    "alg none": (carries(token(algorithm="none")),
                 "token signature is invalid: token is unverifiable: 'none' signature type is not allowed"),
    "alg None": (carries(token(header={"alg": "None"})),
                 "token is unverifiable: signing method (alg) is unavailable"),
    "no alg": (carries(token(header={"typ": "JWT"})),
               "token is unverifiable: signing method (alg) is unavailable"),
    "HS384": (carries(token(algorithm="HS384")),
              "token signature is invalid: signing method HS384 is invalid"),
    "HS512": (carries(token(algorithm="HS512")),
              "token signature is invalid: signing method HS512 is invalid"),
    "RS256": (carries(token(header={"alg": "RS256"})),
              "token signature is invalid: signing method RS256 is invalid"),
    "a list as alg": (carries(token(header={"alg": ["HS256"]})),
                      "token is unverifiable: signing method (alg) is unavailable"),
    "unencoded payload": (carries(token(header={"alg": "HS256", "b64": False, "crit": ["b64"]})),
                          "token is malformed: it cannot be decoded"),
    "unknown extension": (carries(token(header={"alg": "HS256", "crit": ["x"]})),
                          "token is malformed: it cannot be decoded"),
    "wrong secret": (carries(token(secret="x" * 32)), "token signature is invalid: signature is invalid"),
    "expired": (carries(token(exp=int(time.time()) - 1)), INVALID + "token is expired"),
    "long expired": (carries(token(exp=0)), INVALID + "token is expired"),
    "not yet": (carries(token(nbf=int(time.time()) + 36_000)), INVALID + "token is not valid yet"),
    "no exp": (carries(token(exp=None)), INVALID + "token is missing required claim: exp claim is required"),
    "exp as text": (carries(token(exp="9999999999")), INVALID + "invalid type for claim: exp is invalid"),
    "exp as bool": (carries(token(exp=True)), INVALID + "invalid type for claim: exp is invalid"),
    "exp infinite": (carries(token(exp=float("inf"))), INVALID + "invalid type for claim: exp is invalid"),
    "exp huge": (carries(token(exp=10**400)), INVALID + "token is valid for more than 24 hours"),
    "exp far": (carries(token(exp=FAR)), INVALID + "token is valid for more than 24 hours"),
    "nbf as text": (carries(token(nbf="0")), INVALID + "invalid type for claim: nbf is invalid"),
    "two segments": (carries("a.b"), "token is malformed: token contains an invalid number of segments"),
    "four segments": (carries(token() + ".x"),
                      "token is malformed: token contains an invalid number of segments"),
    "no base64": (carries("ä.b.c"), "token is malformed: could not base64 decode header"),
    "noise in base64": (carries(token().replace(".", "!.", 1)),
                        "token is malformed: could not base64 decode header"),
    "no JSON": (carries(f"{part(b'x')}.{part(b'x')}.x"), "token is malformed: it cannot be decoded"),
    "deep JSON": (carries(f"{part(b'[' * 2500)}.{part(b'x')}.xx"),
                  "token is malformed: it cannot be decoded"),
    "claims in a list": (carries(token(claims=["user"])), "token is malformed: could not JSON decode claim"),
    "deep claims": (carries(token(claims=b"[" * 2500)), "token is malformed: could not JSON decode claim"),
    "too long": (carries(token(more="x" * 5000)), "token is malformed: could not base64 decode header"),
    "basic": ("Authorization: Basic YTpi\r\nusername: alice\r\n",
              "token is malformed: token contains an invalid number of segments"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_good_token_is_refused_with_its_reason(name: str) -> None:
    headers, text = BAD[name]
    vault = ScriptedVault()
    async with serving(vault, server=JWT) as running:
        reply = await sign(running, headers)
        metrics = await running.metrics()
    assert_refused(reply, text)
    assert vault.signed == []
    line = 'authentication_failure_total{auth_method="jwt",client_ip="127.0.0.1",status="401"} 1\n'
    assert line in metrics


async def test_a_token_of_almost_a_day_is_let_in() -> None:
    async with serving(server=JWT) as running:
        assert (await sign(running, carries(token(exp=int(time.time()) + 24 * 3600 - 60)))).status == 200


@pytest.mark.parametrize("name", ["Authorization", "username"])
async def test_a_header_that_stands_there_twice_is_refused(name: str) -> None:
    good = {"Authorization": token(), "username": ALICE}[name]
    async with serving(server=JWT) as running:
        for other in (good, "other"):
            for first, second in ((good, other), (other, good)):
                headers = f"{name}: {first}\r\n{name.upper()}: {second}\r\n"
                rest = f"username: {ALICE}\r\n" if name != "username" else f"Authorization: {token()}\r\n"
                assert_refused(await sign(running, headers + rest), f"more than one {name} header", 400)


@pytest.mark.parametrize("name", ["username", "password"])
async def test_a_login_with_a_header_twice_is_refused(name: str) -> None:
    async with serving(server=JWT) as running:
        reply = await running.ask("POST", "/login", headers=knows(PASSWORD[ALICE]) + f"{name}: x\r\n")
    assert_refused(reply, f"more than one {name} header", 400)


async def test_jwt_users_of_a_key_are_the_only_ones_who_may_use_it() -> None:
    tezos = f"  {TZ1}: {EVERYTHING[:-1]}, jwt_users: [{BOB}]}}\n"
    async with serving(tezos=tezos, server=JWT) as running:
        refused = await sign(running, carries(token()))
        signed = await sign(running, carries(token(BOB), BOB))
    assert (refused.status, refused.message) == (403, f"user `{ALICE}' is not authorized to access {TZ1}")
    assert signed.status == 200


async def test_a_user_who_is_removed_is_refused_at_once_with_a_token_that_was_good() -> None:
    async with serving(server=JWT) as running:
        headers = carries((await login(running)).body.decode())
        assert (await sign(running, headers)).status == 200
        without = users().replace(f"      {ALICE}", "      carol")
        running.daemon.policy.current = policy_of(settings(server=without))
        assert_refused(await sign(running, headers), "JWT: user not found")
        running.daemon.policy.current = policy_of(settings(server=users().replace(SECRET[ALICE], NEW_SECRET)))
        assert_refused(await sign(running, headers), "token signature is invalid: signature is invalid")


async def test_logins_can_be_turned_on_by_a_new_policy() -> None:
    async with serving() as running:
        running.daemon.policy.current = policy_of(settings(server=JWT))
        assert_refused(await sign(running), "token required")
        assert (await login(running)).status == 201


async def test_until_the_old_credentials_end_both_are_good() -> None:
    async with serving(server=users(rotation("2999-12-31 23:59:59"))) as running:
        given = [await login(running, password) for password in (PASSWORD[ALICE], NEW_PASSWORD)]
        signed = [
            await sign(running, carries(token(secret=secret))) for secret in (SECRET[ALICE], NEW_SECRET)
        ]
        other = await sign(running, carries(token(secret="x" * 32)))
    assert [reply.status for reply in given + signed] == [201, 201, 200, 200]
    assert other.status == 401


@pytest.mark.parametrize("until", ["", "2020-01-01 00:00:00"])
async def test_once_they_have_ended_only_the_new_ones_are_good(until: str) -> None:
    async with serving(server=users(rotation(until))) as running:
        given = [await login(running, password) for password in (PASSWORD[ALICE], NEW_PASSWORD)]
        signed = [
            await sign(running, carries(token(secret=secret))) for secret in (SECRET[ALICE], NEW_SECRET)
        ]
    assert [reply.status for reply in given + signed] == [401, 201, 401, 200]


async def test_a_token_of_another_user_is_said_to_be_suspicious(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "signatory")
    async with serving(server=JWT) as running:
        await sign(running, carries(token(secret=SECRET[ALICE], user=BOB)))
    assert "JWT: Suspicious activity detected, token user does not match request user" in caplog.messages


async def test_no_secret_and_no_unknown_name_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(server=JWT) as running:
        given = (await login(running)).body.decode()
        await sign(running, carries(given))
        await login(running, "Wrong-password-123")
        await login(running, "x", "Name-typed-as-password-1")
        await sign(running, carries("Token-that-is-none"))
        metrics = await running.metrics()
    told = "".join(str(vars(record)) for record in caplog.records) + metrics
    for secret in (*PASSWORD.values(), *SECRET.values(), given, "Wrong-password", "typed-as", "Token-that"):
        assert secret not in told
    assert 'login_requests_total{status="201"} 1\n' in metrics
    assert 'login_requests_total{status="401"} 2\n' in metrics
    failed = 'authentication_failure_total{auth_method="login",client_ip="127.0.0.1",status="401"}'
    assert f"{failed} 2\n" in metrics
