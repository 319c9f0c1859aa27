"""How often a login may fail: from where, for whom, and what an attacker cannot take from the others."""

import asyncio
import json
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
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
    rotation,
    token,
    users,
)
from serving import TRANSACTION, TZ1, Client, Running, serving, settings

from signatory.config.load import policy_of
from signatory.limits import Limits
from signatory.observe.metrics import Metrics
from signatory.policy.values import Policy
from signatory.server.login import Logins, RefusedError, Verified
from signatory.server.records import Records
from signatory.server.throttle import Buckets, Rate, Throttle, network
from signatory.signer import PolicyHolder

JWT = users()
BODY = json.dumps(TRANSACTION.hex()).encode()
STRICT = Limits(failures=3, failure_pause=60.0, address_failures=8, address_pause=1.0)


async def elsewhere(running: Running) -> Client:
    """A connection from another address of loopback."""
    address = running.daemon.addresses[0]
    reader, writer = await asyncio.open_connection(address.host, address.port, local_addr=("127.0.0.2", 0))
    client = Client(reader, writer)
    running.clients.append(client)
    return client


async def test_after_some_failures_a_login_is_429_with_the_time_to_wait_even_with_the_right_password() -> (
    None
):
    async with serving(server=JWT, limits=STRICT) as running:
        statuses = [(await login(running, "wrong")).status for _ in range(3)]
        refused = [await login(running, "wrong"), await login(running)]
    assert statuses == [401] * 3
    for reply in refused:
        assert (reply.status, reply.headers["content-type"]) == (429, "text/plain; charset=utf-8")
        assert 0 < int(reply.headers["retry-after"]) <= 60
        assert reply.body.decode() == f"too many failures, try again in {reply.headers['retry-after']} s"


async def test_a_user_is_locked_out_only_where_the_failures_come_from() -> None:
    async with serving(server=JWT, limits=STRICT) as running:
        for _ in range(20):
            await login(running, "wrong")
        here, there = await login(running), await login(await elsewhere(running))
        neighbour = await login(running, PASSWORD[BOB], BOB)
    assert (here.status, there.status, neighbour.status) == (429, 201, 201)


async def test_names_that_are_no_users_share_one_bucket_and_take_nothing_from_users() -> None:
    async with serving(server=JWT, limits=STRICT) as running:
        statuses = [(await login(running, "x", f"nobody{number}")).status for number in range(30)]
        alice = await login(running)
    assert statuses == [401] * 3 + [429] * 27
    assert alice.status == 201


async def test_who_tries_one_user_after_the_other_meets_the_bucket_of_the_address() -> None:
    limits = Limits(failures=3, failure_pause=60.0, address_failures=5, address_pause=60.0)
    async with serving(server=JWT, limits=limits) as running:
        for name in (ALICE, "nobody"):
            for _ in range(3):
                await login(running, "x", name)
        here, there = await login(running, PASSWORD[BOB], BOB), await login(await elsewhere(running))
    assert (here.status, there.status) == (429, 201)


async def test_a_good_token_is_let_in_whatever_failed_before() -> None:
    async with serving(server=JWT, limits=STRICT) as running:
        replies = [
            await running.ask("GET", "/authorized_keys", headers=carries(f"a.b.{number}"))
            for number in range(6)
        ]
        good = await running.ask("GET", "/authorized_keys", headers=carries(token()))
        given = await login(running)
    assert [reply.status for reply in replies] == [401] * 3 + [429] * 3
    assert "retry-after" in replies[-1].headers
    assert (good.status, given.status) == (200, 201)


async def test_a_client_whose_token_ended_is_told_so_and_can_log_in_again() -> None:
    async with serving(server=JWT, limits=STRICT) as running:
        expired = [
            await running.ask("GET", "/authorized_keys", headers=carries(token(exp=1))) for _ in range(20)
        ]
        given = await login(running)
    assert {reply.status for reply in expired} == {401}
    assert given.status == 201


async def test_ten_thousand_failures_leave_little_behind_and_the_others_are_served() -> None:
    async with serving(server=JWT) as running:
        client = await running.client()
        bad = carries("Bearer.of.nothing", "{}") + "X-Request-Id: flood\r\n"
        for start in range(0, 10_000, 50):
            names = [f"eve{number}" for number in range(start, start + 50)]
            asked = [
                f"GET /authorized_keys HTTP/1.1\r\nHost: x\r\n{bad.format(name)}\r\n" for name in names[:25]
            ]
            asked += [f"POST /login HTTP/1.1\r\nHost: x\r\n{knows('x', name)}\r\n" for name in names[25:]]
            await client.send("".join(asked).encode())
            assert {(await client.reply()).status for _ in asked} <= {401, 429}
        signed = await running.ask("POST", f"/keys/{TZ1}", BODY, carries(token()))
        given = await login(running)
        metrics = await running.metrics()
    assert (signed.status, given.status) == (200, 201)
    rows = [line for line in metrics.splitlines() if line.startswith("authentication_failure_total{")]
    assert len(rows) == 4
    assert sum(int(row.rsplit(" ", 1)[1]) for row in rows) == 10_000


def test_a_bucket_gives_its_burst_and_then_one_each_pause() -> None:
    buckets, taken = Buckets(Rate(5, 2.0), 10), []
    for tick in range(100):
        if buckets.wait("a", tick / 4) == 0:
            buckets.failed("a", tick / 4)
            taken.append(tick / 4)
    assert taken[:5] == [0, 0.25, 0.5, 0.75, 1.0]
    assert taken[5:] == [2.0 * number for number in range(1, 13)]


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5)), max_size=200))
def test_buckets_are_bounded_and_never_let_more_through_than_their_rate(
    steps: list[tuple[int, float]],
) -> None:
    buckets, now, taken = Buckets(Rate(3, 1.0), 50), 0.0, dict[int, list[float]]()
    for key, pause in steps:
        now += pause
        wait = buckets.wait(key, now)
        assert wait >= 0
        if wait == 0:
            buckets.failed(key, now)
            taken.setdefault(key, []).append(now)
        else:
            assert buckets.wait(key, now + wait + 1e-6) == 0
    for times in taken.values():
        for first, later in zip(times, times[3:], strict=False):
            assert later - first >= 1.0 - 1e-6
    assert len(buckets) <= 50


def test_the_bucket_that_is_forgotten_is_the_one_that_failed_longest_ago() -> None:
    buckets = Buckets(Rate(1, 100.0), 2)
    for key in ("a", "b", "a", "c"):
        buckets.failed(key, 0.0)
    assert len(buckets) == 2
    assert buckets.wait("b", 1.0) == 0
    assert buckets.wait("a", 1.0) > buckets.wait("c", 1.0) > 0


@pytest.mark.parametrize(
    ("source", "place"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("::1", "::/64"), ("", ""),
     ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff:1", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64")],
)  # fmt: skip
def test_a_host_cannot_be_many_by_choosing_among_its_addresses(source: str, place: str) -> None:
    assert network(source) == place


def test_a_throttle_of_many_addresses_stays_bounded() -> None:
    throttle = Throttle(Limits(failing=100))
    for number in range(1000):
        throttle.failed(None, f"10.0.{number // 256}.{number % 256}", 0.0)
    assert throttle.wait(None, "10.0.0.1", 0.0) == 0


class Clocked:
    """Logins whose time stands still until a test moves it."""

    def __init__(self, server: str, limits: Limits = STRICT) -> None:
        self.now = 1_900_000_000.0
        policy = PolicyHolder(policy_of(settings(server=server)))
        records = Records(Metrics(), "mem")
        self.logins = Logins(
            policy, records, limits, clock=lambda: self.now, monotonic=lambda: self.now - 1_000_000_000
        )

    def login(self, password: str) -> int | str:
        try:
            answer = self.logins.login(_request(knows(password)))
        except RefusedError as error:
            return error.answer.status
        return cast("Any", answer)._content.decode()

    def carries(self, text: str) -> int:
        try:
            assert self.logins.user_of(_request(carries(text))) == ALICE
        except RefusedError as error:
            return error.answer.status
        return 200


def test_the_old_credentials_end_at_their_second_without_anybody_doing_anything() -> None:
    clocked = Clocked(users(rotation("2030-03-17 17:46:41")))
    old = clocked.login(PASSWORD[ALICE])
    new = clocked.login(NEW_PASSWORD)
    assert isinstance(old, str)
    assert isinstance(new, str)
    assert (clocked.carries(old), clocked.carries(new)) == (200, 200)
    clocked.now = 1_900_000_000.999
    assert (clocked.carries(old), clocked.carries(new)) == (200, 200)
    clocked.now = 1_900_000_001.0
    assert (clocked.carries(old), clocked.carries(new)) == (401, 200)
    assert clocked.login(PASSWORD[ALICE]) == 401
    assert clocked.carries(token(secret=SECRET[ALICE], exp=1_900_000_100)) == 401
    assert clocked.carries(token(secret=NEW_SECRET, exp=1_900_000_100)) == 200


def test_a_token_that_is_remembered_ends_at_its_second_too() -> None:
    clocked = Clocked(JWT)
    text = token(exp=1_900_000_010)
    assert clocked.carries(text) == clocked.carries(text) == 200
    clocked.now += 9.9
    assert clocked.carries(text) == 200
    clocked.now += 0.1
    assert clocked.carries(text) == 401


def test_a_remembered_token_is_good_for_its_user_only() -> None:
    clocked = Clocked(JWT)
    text = token(exp=1_900_000_010)
    assert clocked.carries(text) == 200
    with pytest.raises(RefusedError):
        clocked.logins.user_of(_request(carries(text, BOB)))


def test_more_good_tokens_than_are_remembered_are_all_good() -> None:
    clocked = Clocked(JWT, Limits(tokens=4))
    texts = [token(exp=1_900_000_100 + number) for number in range(20)]
    assert {clocked.carries(text) for text in texts * 2} == {200}


def test_remembered_tokens_are_bounded_each_of_its_user_and_gone_at_their_end() -> None:
    known = Verified(Policy({}), 4)
    for number in range(20):
        known.add(ALICE, f"token {number}", 100.0)
    assert len(known) == 4
    assert known.holds(ALICE, "token 19", 99.9)
    assert not known.holds(BOB, "token 19", 99.9)
    assert not known.holds(ALICE, "token 0", 99.9)
    assert not known.holds(ALICE, "token 19", 100.0)
    assert len(known) == 3


def test_who_waits_as_long_as_he_was_told_may_try_again() -> None:
    clocked = Clocked(JWT)
    assert [clocked.login("wrong") for _ in range(4)] == [401, 401, 401, 429]
    clocked.now += 59.9
    assert clocked.login(PASSWORD[ALICE]) == 429
    clocked.now += 0.2
    assert isinstance(clocked.login(PASSWORD[ALICE]), str)


def _request(headers: str) -> Any:
    pairs = [line.split(": ", 1) for line in headers.strip().split("\r\n")]
    return make_mocked_request("POST", "/login", headers=dict(pairs))
