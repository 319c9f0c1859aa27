"""Limits, proofs for others, users, trailing bytes: what they come to mean, and what is refused."""

import base58
import pytest

from signatory.config import load as config
from signatory.config.load import ConfigProblemsError
from signatory.policy.values import KeyLimits, KeyPolicy

TZ1 = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
TZ4 = "tz4XXtsYav3fZz2FSDa7hcx4F8sh8SaDWNME"
KT1 = base58.b58encode_check(bytes.fromhex("025a79") + b"\x33" * 20).decode()
SR1 = base58.b58encode_check(bytes.fromhex("067c75") + b"\x33" * 20).decode()
EDPK = "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"
BLPK = "BLpk1pqfzT5dvBJNZ2LajfWTha8LRDGkus7Fxntcke2vMBfHxQqPBhmRcHip3UDK4Qvk9ViQByXq"
GENERIC = "allow: {generic: [transaction]}"
JWT = (
    "server: {address: '127.0.0.1:6732', jwt: {users: {alice: "
    "{password: 'Correct-Horse-1-Battery', secret: 'Correct-Horse-1-Battery-Staple-2-Correct'}}}}\n"
)


def loaded(settings: str, key: str = TZ1, before: str = "") -> tuple[KeyPolicy, list[str]]:
    found = config.read(f"{before}tezos:\n  {key}: {settings}\n".encode())
    told = [warning.removeprefix(f"tezos.{key}: ") for warning in found.warnings]
    return config.policy_of(found).keys[key], told


def refused(settings: str, key: str = TZ1) -> list[tuple[str, str]]:
    with pytest.raises(ConfigProblemsError) as caught:
        loaded(settings, key)
    return [
        (".".join(map(str, problem.path)).removeprefix(f"tezos.{key}."), problem.text)
        for problem in caught.value.problems
    ]


def test_limits_reach_the_policy() -> None:
    limits = (
        f"{{max_amount: 5000000, max_fee: '20000', destinations: [{TZ1}, {KT1}, {SR1}, {TZ4}], "
        "rate: {requests: 10, seconds: 3600}, max_level_step: 50}"
    )
    policy, warnings = loaded(f"{{allow: {{block: , generic: [transaction]}}, limits: {limits}}}")
    assert policy.limits == KeyLimits(
        max_amount=5_000_000,
        max_fee=20_000,
        destinations=frozenset({TZ1, KT1, SR1, TZ4}),
        rate=10,
        rate_seconds=3600.0,
        max_level_step=50,
    )
    assert warnings == []


@pytest.mark.parametrize("limits", ["", "limits: , ", "limits: {}, "])
def test_nothing_written_limits_nothing(limits: str) -> None:
    policy, warnings = loaded(f"{{{limits}{GENERIC}}}")
    assert policy.limits == KeyLimits()
    assert warnings == []


@pytest.mark.parametrize("name", ["max_amount", "max_fee", "destinations", "rate", "max_level_step"])
def test_a_limit_whose_value_is_gone_is_refused_and_does_not_limit_nothing(name: str) -> None:
    ((place, text),) = refused(f"{{{GENERIC}, limits: {{{name}: }}}}")
    assert place == f"limits.{name}"
    assert text.startswith("nothing stands after it")
    assert ("`[]` is nobody" in text) == (name == "destinations")


def test_zero_and_an_empty_list_are_limits() -> None:
    policy, _ = loaded(f"{{{GENERIC}, limits: {{max_amount: 0, max_fee: 0, destinations: []}}}}")
    assert policy.limits == KeyLimits(max_amount=0, max_fee=0, destinations=frozenset())


def test_a_rate_without_seconds_is_by_the_minute() -> None:
    policy, _ = loaded(f"{{{GENERIC}, limits: {{rate: {{requests: 3}}}}}}")
    assert (policy.limits.rate, policy.limits.rate_seconds) == (3, 60.0)


@pytest.mark.parametrize("amount", ["1.5", "12.5 tez", "1e6", "1000000.0", "1_000", "''", "true"])
def test_amounts_are_whole_mutez(amount: str) -> None:
    ((place, text),) = refused(f"{{{GENERIC}, limits: {{max_amount: {amount}}}}}")
    assert place == "limits.max_amount"
    if amount == "true":
        assert text == "must be a number"
    else:
        assert text == "must be a whole number of mutez; 1 tez is 1000000"


@pytest.mark.parametrize(
    ("limits", "place"),
    [
        ("{max_amount: -1}", "limits.max_amount"),
        ("{max_fee: 9223372036854775808}", "limits.max_fee"),
        ("{max_fee: [1]}", "limits.max_fee"),
        ("{rate: {requests: 0}}", "limits.rate.requests"),
        ("{rate: {requests: 10001}}", "limits.rate.requests"),
        ("{rate: {requests: true}}", "limits.rate.requests"),
        ("{rate: {seconds: 5}}", "limits.rate.requests"),
        ("{rate: {requests: 1, seconds: 0}}", "limits.rate.seconds"),
        ("{rate: {requests: 1, seconds: 86401}}", "limits.rate.seconds"),
        ("{rate: {requests: 1, seconds: .inf}}", "limits.rate.seconds"),
        ("{rate: {requests: 1, seconds: .nan}}", "limits.rate.seconds"),
        ("{rate: 5}", "limits.rate"),
        ("{max_level_step: 0}", "limits.max_level_step"),
        ("{max_level_step: 2147483648}", "limits.max_level_step"),
        ("{destinations: KT1}", "limits.destinations"),
        ("[1]", "limits"),
    ],
)
def test_limits_that_make_no_sense_are_refused_at_their_place(limits: str, place: str) -> None:
    assert [found for found, _ in refused(f"{{{GENERIC}, limits: {limits}}}")] == [place]


def test_an_unknown_limit_is_told_with_the_nearest() -> None:
    assert refused("{limits: {max_ammount: 1}}") == [
        ("limits.max_ammount", "unknown key; did you mean `max_amount`?")
    ]


def test_a_destination_must_be_an_account() -> None:
    last = KT1[:-1] + ("a" if KT1[-1] != "a" else "b")
    bad = refused(f"{{{GENERIC}, limits: {{destinations: [{KT1}, {last}, alice, {EDPK}]}}}}")
    assert [place for place, _ in bad] == [f"limits.destinations.{position}" for position in (1, 2, 3)]
    assert bad[1][1] == "`alice` is not an account (`tz1...` to `tz5...`, `KT1...`, `sr1...`)"
    assert EDPK not in bad[2][1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("{limits: {max_amount: 1}}", ["`limits.max_amount` has no effect: this key signs no operations"]),
        (
            f"{{allow: {{block: }}, limits: {{max_fee: 1, destinations: [{KT1}]}}}}",
            [
                f"`limits.{name}` has no effect: this key signs no operations"
                for name in ("max_fee", "destinations")
            ],
        ),
        (
            f"{{{GENERIC}, limits: {{max_level_step: 5}}}}",
            ["`limits.max_level_step` has no effect: this key signs nothing that has a level"],
        ),
        ("{limits: {rate: {requests: 1}}}", ["`limits.rate` has no effect: this key signs nothing"]),
        (
            "{allow: {endorsement: }, limits: {max_level_step: 5}}",
            ["`endorsement` is an old name, write `attestation`"],
        ),
        ("{allow: {pack: }, limits: {rate: {requests: 1}}}", []),
    ],
)
def test_a_limit_that_can_never_bite_is_told(settings: str, told: list[str]) -> None:
    assert loaded(settings)[1] == told


def test_users_of_a_key_reach_the_policy() -> None:
    policy, warnings = loaded("{allow: {block: }, jwt_users: [alice]}", before=JWT)
    assert policy.jwt_users == {"alice"}
    assert warnings == []
    assert loaded("{allow: {block: }}", before=JWT)[0].jwt_users is None
    assert loaded("{allow: {block: }, jwt_users: []}", before=JWT) == (
        KeyPolicy(requests=frozenset({"block"}), jwt_users=frozenset()),
        [],
    )


def test_users_nobody_knows_or_who_never_log_in_are_told() -> None:
    assert loaded("{jwt_users: [alise, alice]}", before=JWT)[1] == [
        "there is no user `alise` in `server.jwt`; did you mean `alice`?"
    ]
    assert loaded("{jwt_users: [alice]}")[1] == ["`jwt_users` without `server.jwt` has no effect"]


@pytest.mark.parametrize("written", [BLPK, f"[{BLPK}]", f"[[{BLPK}], {BLPK}]"])
def test_aggregates_to_prove_for_reach_the_policy(written: str) -> None:
    policy, warnings = loaded(f"{{allow_proof_of_possession: true, prove_possession_for: {written}}}", TZ4)
    assert policy.prove_possession_for == {BLPK}
    assert warnings == []


def test_an_aggregate_must_be_a_bls_key_and_on_the_curve() -> None:
    infinity = base58.b58encode_check(bytes.fromhex("069587cc") + b"\xc0" + bytes(47)).decode()
    nowhere = base58.b58encode_check(bytes.fromhex("069587cc") + b"\x9f" + b"\xff" * 47).decode()
    bad = refused(f"{{prove_possession_for: [{BLPK}, {EDPK}, {infinity}, {nowhere}]}}", TZ4)
    assert [place for place, _ in bad] == [f"prove_possession_for.{position}" for position in (1, 2, 3)]
    assert bad[0][1] == "only BLS keys (`BLpk...`) are aggregated"
    assert refused(f"{{prove_possession_for: {TZ4}}}", TZ4)[0][1].startswith("this is the hash")


def test_proofs_for_others_that_are_never_made_are_told() -> None:
    assert loaded(f"{{prove_possession_for: {BLPK}}}", TZ4)[1] == [
        "`prove_possession_for` has no effect without `allow_proof_of_possession`"
    ]
    assert loaded(f"{{prove_possession_for: {BLPK}}}", TZ1)[1] == [
        "`prove_possession_for` has no effect: only tz4 keys prove possession"
    ]


def test_trailing_bytes_are_signed_only_where_that_is_written_and_it_is_told() -> None:
    assert not loaded("{allow: {block: }}")[0].allow_trailing_bytes
    policy, warnings = loaded("{allow: {block: }, allow_trailing_bytes: true}")
    assert policy.allow_trailing_bytes
    assert warnings == [
        "`allow_trailing_bytes` signs what stands after the end of a request, and no rule reads it"
    ]
