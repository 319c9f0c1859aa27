"""What the settings of a key come to mean: allowed kinds, old names, and what their owner is told."""

import hashlib
from typing import Any

import base58
import pytest

from signatory.config import load as config
from signatory.config.load import ConfigProblemsError
from signatory.crypto.curves import SigningVersion
from signatory.policy.rules import evaluate
from signatory.policy.values import Client, KeyPolicy, Policy
from signatory.tezos import requests

TZ1 = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
TZ4 = "tz4XXtsYav3fZz2FSDa7hcx4F8sh8SaDWNME"
EDPK = "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"
EDPK_HASH = base58.b58encode_check(
    bytes.fromhex("06a19f") + hashlib.blake2b(base58.b58decode_check(EDPK)[4:], digest_size=20).digest()
).decode()


def loaded(settings: str, key: str = TZ1) -> tuple[KeyPolicy, tuple[str, ...]]:
    found = config.read(f"tezos:\n  {key}: {settings}\n".encode())
    return config.policy_of(found).keys[key], found.warnings


def refused(settings: str) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        loaded(settings)
    return [problem.text for problem in caught.value.problems]


def test_a_key_without_settings_gets_the_default_policy() -> None:
    policy, warnings = loaded("")
    assert policy.requests == {"block", "preattestation", "attestation"}
    assert policy.operations == frozenset()
    assert policy.allowed_chains is None
    assert policy.authorized_keys is None
    assert warnings == ()


@pytest.mark.parametrize("settings", ["{}", "{allow: }", "{allow: {}}"])
def test_empty_settings_allow_nothing(settings: str) -> None:
    assert loaded(settings)[0] == KeyPolicy()


def test_a_list_under_generic_allows_these_operations_and_no_list_allows_none() -> None:
    policy, _ = loaded("{allow: {block: , pack: [], generic: [transaction, stake]}}")
    assert policy.requests == {"block", "pack", "generic"}
    assert policy.operations == {"transaction", "stake"}
    assert loaded("{allow: {generic: }}")[0].operations == frozenset()


def test_ballot_is_all_three_and_one_ballot_is_one() -> None:
    assert loaded("{allow: {generic: [ballot]}}")[0].operations == {"ballot:yay", "ballot:nay", "ballot:pass"}
    assert loaded('{allow: {generic: ["ballot:nay"]}}')[0].operations == {"ballot:nay"}


def test_the_other_settings_reach_the_policy() -> None:
    text = f"{{allowed_chains: [NetXdQprcVkpaWU], log_payloads: true, authorized_keys: {EDPK}, "
    text += "allow_proof_of_possession: true}"
    found = config.read(f"server: {{authorized_keys: {EDPK}}}\ntezos: {{{TZ4}: {text}}}\n".encode())
    policy = config.policy_of(found)
    assert policy.clients is not None
    assert [client.text for client in policy.clients] == [EDPK]
    assert policy.keys[TZ4] == KeyPolicy(
        allowed_chains=frozenset({"NetXdQprcVkpaWU"}),
        authorized_keys=frozenset({EDPK_HASH}),
        allow_proof_of_possession=True,
        log_payloads=True,
    )
    assert found.warnings == ()


def test_an_empty_list_of_chains_or_clients_means_none_of_them() -> None:
    policy, _ = loaded("{allowed_chains: [], authorized_keys: []}")
    assert policy.allowed_chains == frozenset()
    assert policy.authorized_keys == frozenset()


def test_a_kind_nobody_knows_is_refused_in_signatorys_words_with_the_nearest() -> None:
    assert refused("{allow: {blok: , generic: [transactoin, ballot:yes]}}") == [
        "invalid request kind `blok` in `allow` list; did you mean `block`?",
        "invalid operation kind `transactoin` in `allow.generic` list; did you mean `transaction`?",
        "invalid operation kind `ballot:yes` in `allow.generic` list; did you mean `ballot:yay`?",
    ]


def test_a_kind_in_the_wrong_list_is_told_where_it_belongs() -> None:
    first, second = refused("{allow: {failing_noop: , generic: [block]}}")
    assert first == (
        "invalid request kind `failing_noop` in `allow` list; "
        "this is an operation kind, it belongs in the list under `generic`"
    )
    assert second.startswith("invalid operation kind `block` in `allow.generic` list; this is a request kind")


@pytest.mark.parametrize("generic", ["transaction", "{transaction: }", "[1]", "[[transaction]]", "true"])
def test_generic_takes_a_list_of_names(generic: str) -> None:
    assert refused(f"{{allow: {{generic: {generic}}}}}") == ["takes a list of operation kinds"]


def test_old_names_mean_the_new_ones_and_are_told() -> None:
    policy, warnings = loaded(
        "{allow: {endorsement: , preendorsement: , generic: [double_endorsement_evidence]}}"
    )
    assert policy.requests == {"attestation", "preattestation", "generic"}
    assert policy.operations == {"double_consensus_operation_evidence"}
    assert [warning.removeprefix(f"tezos.{TZ1}: ") for warning in warnings] == [
        "`endorsement` is an old name, write `attestation`",
        "`preendorsement` is an old name, write `preattestation`",
        "`double_endorsement_evidence` is an old name, write `double_consensus_operation_evidence`",
    ]


@pytest.mark.parametrize("old", ["endorsement", "preendorsement"])
def test_an_old_name_of_an_operation_of_version_1_works_and_says_so(old: str) -> None:
    policy, warnings = loaded(f"{{allow: {{generic: [transaction, {old}]}}}}")
    new = old.replace("endorsement", "attestation")
    assert policy.operations == {"transaction", new}
    assert policy.requests == {"generic"}
    assert [warning.removeprefix(f"tezos.{TZ1}: ") for warning in warnings] == [
        f"`{old}` under `generic` is `{new}`, an operation in requests of version 1 only"
    ]


def test_an_old_name_of_both_a_request_and_an_operation_is_told_for_both() -> None:
    _, warnings = loaded("{allow: {endorsement: , generic: [endorsement]}}")
    assert [warning.removeprefix(f"tezos.{TZ1}: ") for warning in warnings] == [
        "`endorsement` is an old name, write `attestation`",
        "`endorsement` under `generic` is `attestation`, an operation in requests of version 1 only",
    ]


@pytest.mark.parametrize(("old", "tag"), [("endorsement", 21), ("preendorsement", 20)])
def test_an_old_name_of_an_operation_lets_its_bytes_pass_in_the_grammar_that_has_it(
    old: str, tag: int
) -> None:
    operation = bytes([tag]) + bytes(2) + (7).to_bytes(4, "big") + bytes(4) + b"\x32" * 32
    request = requests.understood(b"\x03" + b"\xb1" * 32 + operation, SigningVersion.V1)
    policy = Policy({TZ1: loaded(f"{{allow: {{generic: [{old}]}}}}")[0]})
    assert evaluate(policy, TZ1, request, Client("::1")).allowed
    other = Policy({TZ1: loaded("{allow: {generic: [transaction]}}")[0]})
    assert not evaluate(other, TZ1, request, Client("::1")).allowed


def test_the_deprecated_lists_work_and_the_new_form_is_told() -> None:
    policy, warnings = loaded("{allowed_operations: [block, generic], allowed_kinds: [reveal, delegation]}")
    assert policy.requests == {"block", "generic"}
    assert policy.operations == {"reveal", "delegation"}
    (warning,) = warnings
    assert warning.endswith("are deprecated; write `allow: {block: , generic: [reveal, delegation]}`")


def test_what_is_told_to_write_instead_of_the_deprecated_lists_means_the_same() -> None:
    policy, warnings = loaded("{allowed_operations: [attestation, generic], allowed_kinds: [ballot]}")
    assert loaded(f"{{{warnings[0].split('`')[-2]}}}")[0] == policy


def test_the_deprecated_lists_do_not_count_beside_allow() -> None:
    policy, warnings = loaded(
        "{allow: {block: }, allowed_operations: [generic], allowed_kinds: [transaction]}"
    )
    assert policy == KeyPolicy(requests=frozenset({"block"}))
    assert warnings == (
        f"tezos.{TZ1}: `allowed_operations` and `allowed_kinds` have no effect beside `allow`; remove them",
    )


def test_the_deprecated_lists_are_judged_too() -> None:
    assert refused("{allowed_operations: [blok], allowed_kinds: [stak]}") == [
        "invalid request kind `blok` in `allowed_operations` list; did you mean `block`?",
        "invalid operation kind `stak` in `allowed_kinds` list; did you mean `stake`?",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            "{allow: {block: [transaction]}}",
            "the list under `allow.block` has no effect: only `generic` has one",
        ),
        (
            "{allow_proof_of_possession: true}",
            "`allow_proof_of_possession` has no effect: only tz4 keys prove possession",
        ),
        ("{authorized_keys: []}", "`authorized_keys` without `server.authorized_keys` refuses everybody"),
    ],
)
def test_settings_without_effect_are_told(settings: str, told: str) -> None:
    assert loaded(settings)[1] == (f"tezos.{TZ1}: {told}",)


@pytest.mark.parametrize("chain", ["mainnet", "NetXdQprcVkpaWV", TZ1, "", "3"])
def test_what_is_no_chain_id_is_refused(chain: str) -> None:
    assert len(refused(f"{{allowed_chains: ['{chain}']}}")) == 1


@pytest.mark.parametrize("key", ["tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446C", "tz9", "edpk", "1", EDPK])
def test_what_is_no_key_hash_is_refused(key: str) -> None:
    with pytest.raises(ConfigProblemsError, match="not a public key hash"):
        loaded("", key)


def vaults(names: str, vault: str) -> Any:
    return config.read(f"vaults: {{{names}}}\ntezos: {{{TZ1}: {{vault: {vault}}}}}\n".encode())


def test_a_key_may_be_tied_to_the_only_vault() -> None:
    assert vaults("a: {driver: mem}", "a").tezos[TZ1].vault == "a"


def test_a_key_tied_to_an_unknown_vault_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigProblemsError, match="there is no vault `nirto`; did you mean `nitro`"):
        vaults("nitro: {driver: mem}", "nirto")


def test_a_key_may_be_tied_to_one_of_several_vaults() -> None:
    assert vaults("a: {driver: mem}, b: {driver: mem}", "b").tezos[TZ1].vault == "b"
