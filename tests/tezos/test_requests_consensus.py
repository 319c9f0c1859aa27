"""Blocks and (pre)attestations become kind, chain, level and round, or are refused."""

import pytest
from request_samples import (
    BRANCH,
    HASH32,
    MAINNET,
    MAINNET_TEXT,
    block,
    consensus,
    dyn,
    fitness,
    generic,
    header,
    i32,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.tezos.requests import SignRequest, parse

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)


def test_a_block_takes_its_round_from_the_fitness_not_from_the_payload_round() -> None:
    request = parse(block(level=66_299, round_=5, payload_round=2))
    assert request == SignRequest("block", (), MAINNET_TEXT, 66_299, 5)


def test_a_block_may_carry_a_seed_nonce_hash() -> None:
    message = b"\x11" + MAINNET + header(8, fitness(8, 1), seed=b"\xff" + HASH32)
    assert parse(message) == SignRequest("block", (), MAINNET_TEXT, 8, 1)


@pytest.mark.parametrize(
    ("magic", "tag", "kind"),
    [
        (0x12, 20, "preattestation"),
        (0x12, 40, "preattestation"),
        (0x13, 21, "attestation"),
        (0x13, 41, "attestation"),
        (0x13, 23, "attestation_with_dal"),
    ],
)
def test_the_tag_decides_the_kind_of_a_consensus_operation(magic: int, tag: int, kind: str) -> None:
    assert parse(consensus(magic, tag, 1331, 4)) == SignRequest(kind, (), MAINNET_TEXT, 1331, 4)


@pytest.mark.parametrize(
    ("magic", "tag"), [(0x12, 21), (0x12, 23), (0x12, 41), (0x13, 20), (0x13, 40), (0x13, 108)]
)
def test_content_of_the_other_kind_is_refused(magic: int, tag: int) -> None:
    with pytest.raises(MalformedError, match=f"^gotez: unknown tag {tag}$"):
        parse(consensus(magic, tag, 1, 0))


def test_a_transaction_does_not_become_an_attestation_by_its_first_byte() -> None:
    for magic in (0x11, 0x12, 0x13):
        with pytest.raises(MalformedError):
            parse(bytes([magic]) + generic(b"\x6c" + bytes(60))[1:])


@pytest.mark.parametrize("chain", [bytes(4), b"\xff" * 4])
def test_every_chain_id_has_its_own_text(chain: bytes) -> None:
    texts = {parse(consensus(0x13, 21, 1, 0, chain=each)).chain_id for each in (chain, MAINNET)}
    assert len(texts) == 2
    assert all(text and text.startswith("Net") and len(text) == 15 for text in texts)


@pytest.mark.parametrize("number", [0, 1, INT32_MAX])
def test_levels_and_rounds_reach_up_to_the_highest_number(number: int) -> None:
    assert parse(block(number, 0)).level == number
    assert parse(block(1, number)).round == number
    for magic, tag in ((0x12, 20), (0x12, 40), (0x13, 21), (0x13, 23), (0x13, 41)):
        assert parse(consensus(magic, tag, number, 0)).level == number
        assert parse(consensus(magic, tag, 1, number)).round == number


@pytest.mark.parametrize("number", [-1, INT32_MIN])
@pytest.mark.parametrize("tag", [20, 21, 23, 40, 41])
def test_a_negative_level_or_round_is_refused(number: int, tag: int) -> None:
    magic = 0x12 if tag in {20, 40} else 0x13
    with pytest.raises(MalformedError, match="level is negative"):
        parse(consensus(magic, tag, number, 0))
    with pytest.raises(MalformedError, match="round is negative"):
        parse(consensus(magic, tag, 1, number))


@pytest.mark.parametrize("number", [-1, INT32_MIN])
def test_a_block_with_a_negative_level_or_round_is_refused(number: int) -> None:
    with pytest.raises(MalformedError, match="level is negative"):
        parse(block(number, 0))
    with pytest.raises(MalformedError, match="round is negative"):
        parse(block(1, number))


@pytest.mark.parametrize("short", [b"", b"\x00", b"\x00\x00\x00"])
def test_a_fitness_without_room_for_a_round_is_refused(short: bytes) -> None:
    with pytest.raises(MalformedError, match="holds no round"):
        parse(b"\x11" + MAINNET + header(1, short))


def test_a_fitness_whose_length_points_outside_is_refused() -> None:
    message = block(1, 0)
    at = message.index(dyn(fitness(1, 0)))
    for length in (2**31 - 1, 2**32 - 1, len(message)):
        with pytest.raises(MalformedError, match="buffer is too short"):
            parse(message[:at] + length.to_bytes(4, "big") + message[at + 4 :])


@pytest.mark.parametrize("tail", [b"\x00", b"\xff", bytes(32)])
def test_bytes_after_a_whole_consensus_message_are_refused(tail: bytes) -> None:
    for message in (
        block(1, 0),
        consensus(0x12, 20, 1, 0),
        consensus(0x13, 21, 1, 0),
        consensus(0x13, 23, 1, 0),
    ):
        parse(message)
        with pytest.raises(MalformedError, match=f"{len(tail)} byte"):
            parse(message + tail)


@pytest.mark.parametrize("tail", [b"\x00", b"\xff", bytes(3000)])
def test_trailing_bytes_pass_where_they_are_allowed_and_change_nothing(tail: bytes) -> None:
    for message in (
        block(9, 1),
        consensus(0x12, 20, 9, 1),
        consensus(0x12, 40, 9, 1),
        consensus(0x13, 21, 9, 1),
        consensus(0x13, 23, 9, 1),
        b"\x05\x03\x0b",
    ):
        assert parse(message + tail, allow_trailing=True) == parse(message)
        assert parse(message, allow_trailing=True) == parse(message)
        with pytest.raises(MalformedError):
            parse(message[:-1], allow_trailing=True)


@pytest.mark.parametrize("tail", [b"\x00", b"\x2a", bytes(30)])
def test_no_switch_lets_bytes_hide_behind_operations(tail: bytes) -> None:
    for message in (generic(), generic(b"\x11" + dyn(b"hello"))):
        with pytest.raises(MalformedError):
            parse(message + tail, allow_trailing=True)


def test_a_block_with_a_negative_payload_round_is_refused() -> None:
    assert parse(block(1, 0, payload_round=INT32_MAX)).round == 0
    for number in (-1, INT32_MIN):
        with pytest.raises(MalformedError, match="round of the payload is negative"):
            parse(block(1, 0, payload_round=number))


def test_a_consensus_message_that_ends_early_is_refused_at_every_length() -> None:
    for message in (block(9, 1), consensus(0x12, 40, 9, 1), consensus(0x13, 23, 9, 1)):
        for length in range(len(message)):
            with pytest.raises(MalformedError):
                parse(message[:length])


def test_version_1_calls_both_attestations_by_one_name_and_knows_no_bls_forms() -> None:
    assert parse(consensus(0x13, 23, 7, 1), SigningVersion.V1) == SignRequest(
        "attestation", (), MAINNET_TEXT, 7, 1
    )
    for magic, tag in ((0x12, 40), (0x13, 41)):
        with pytest.raises(MalformedError, match=f"unknown tag {tag}"):
            parse(consensus(magic, tag, 7, 1), SigningVersion.V1)


@pytest.mark.parametrize("version", [SigningVersion.V0, SigningVersion.V2, SigningVersion.LATEST])
def test_the_other_versions_share_the_latest_grammar(version: SigningVersion) -> None:
    assert parse(consensus(0x13, 23, 7, 1), version).kind == "attestation_with_dal"
    assert parse(b"\x05\x03\x0b", version) == SignRequest("pack")


def test_the_operation_tag_stands_at_byte_37() -> None:
    message = consensus(0x13, 21, 7, 1)
    assert message[37] == 21
    assert message[5:37] == BRANCH
    assert message[40:44] == i32(7)
