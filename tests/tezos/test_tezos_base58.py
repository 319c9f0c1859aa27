"""Base58Check against the base58 package, for every prefix of the table."""

import re

import base58 as package
import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, sampled_from, text

from signatory.errors import MalformedError
from signatory.tezos import base58

# name, prefix, payload bytes, characters: typed from the two reference sheets, not from our table
SHEET = [
    ("tz1", "06a19f", 20, 36),
    ("tz2", "06a1a1", 20, 36),
    ("tz3", "06a1a4", 20, 36),
    ("tz4", "06a1a6", 20, 36),
    ("tz5", "06a1a9", 20, 36),
    ("KT1", "025a79", 20, 36),
    ("sr1", "067c75", 20, 36),
    ("edpk", "0d0f25d9", 32, 54),
    ("sppk", "03fee256", 33, 55),
    ("p2pk", "03b28b7f", 33, 55),
    ("BLpk", "069587cc", 48, 76),
    ("mdpk", "0d07ed43", 1312, 1802),
    ("edsk", "0d0f3a07", 32, 54),
    ("edsk", "2bf64e07", 64, 98),
    ("spsk", "11a2e0c9", 32, 54),
    ("p2sk", "1051eebd", 32, 54),
    ("BLsk", "0396c028", 32, 54),
    ("mdsk", "09397439", 3872, 5298),
    ("edesk", "075a3cb329", 56, 88),
    ("spesk", "09edf1ae96", 56, 88),
    ("p2esk", "09303973ab", 56, 88),
    ("BLesk", "02051e3519", 56, 88),
    ("mdesk", "05318527ac", 3896, 5332),
    ("edsig", "09f5cd8612", 64, 99),
    ("spsig1", "0d7365133f", 64, 99),
    ("p2sig", "36f02c34", 64, 98),
    ("BLsig", "28ab40cf", 96, 142),
    ("mdsig", "019c2dd203", 2420, 3316),
    ("sig", "04822b", 64, 96),
    ("Net", "575200", 4, 15),
    ("vh", "016af2", 32, 52),
]
rows = sampled_from(SHEET)


def test_the_table_is_that_of_the_sheets() -> None:
    ours = {(row.name, row.code.hex(), row.size) for row in base58.PREFIXES}
    assert ours == {(name, code, size) for name, code, size, _ in SHEET}


@pytest.mark.parametrize("fill", [b"\0", b"\x5a", b"\xff"])
@pytest.mark.parametrize("row", SHEET, ids=[f"{row[0]}-{row[2]}" for row in SHEET])
def test_every_value_is_what_the_package_makes_and_begins_with_its_name(
    row: tuple[str, str, int, int], fill: bytes
) -> None:
    name, code, size, characters = row
    prefix, payload = bytes.fromhex(code), fill * size
    encoded = base58.encode(prefix, payload)
    assert encoded == package.b58encode_check(prefix + payload).decode()
    assert (encoded.startswith(name), len(encoded)) == (True, characters)
    found, back = base58.decode(encoded)
    assert (found.name, found.code, back) == (name, prefix, payload)


@settings(deadline=None)
@given(prefix=binary(max_size=6), payload=binary(max_size=300))
def test_any_bytes_are_encoded_as_the_package_does(prefix: bytes, payload: bytes) -> None:
    assert base58.encode(prefix, payload) == package.b58encode_check(prefix + payload).decode()


@settings(deadline=None)
@given(row=rows, seed=binary(min_size=1, max_size=40))
def test_values_come_back(row: tuple[str, str, int, int], seed: bytes) -> None:
    name, code, size, _ = row
    payload = (seed * size)[:size]
    found, back = base58.decode(package.b58encode_check(bytes.fromhex(code) + payload).decode())
    assert (found.name, back) == (name, payload)


@settings(deadline=None)
@given(text(max_size=80) | text(base58.ALPHABET, max_size=80))
def test_any_text_is_a_value_or_malformed(given_text: str) -> None:
    try:
        row, payload = base58.decode(given_text)
    except MalformedError:
        return
    assert package.b58encode_check(row.code + payload).decode() == given_text


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "the Base58 text is empty"),
        ("1", "the Base58 text has a wrong checksum"),
        ("tz1SodoUsWVe1Yey9eMFbqRUtNpBWfir5NRs", "the Base58 text has a wrong checksum"),
        ("tz1SodoUsWVe1Yey9eMFbqRUtNpBWfir5NR", "the Base58 text has a wrong checksum"),
        ("tz1SodoUsWVe1Yey9eMFbqRUtNpBWfir5NR0", "the Base58 text holds a character outside its alphabet"),
        ("tz1SodoUsWVe1Yey9eMFbqRUtNpBWfir5NR ", "the Base58 text holds a character outside its alphabet"),
        (
            "tz1SodoUsWVe1Yey9eMFbqRUtNpBWfir5N\uff52r",
            "the Base58 text holds a character outside its alphabet",
        ),
        ("../../etc/passwd\0", "the Base58 text holds a character outside its alphabet"),
        ("1" * 5333, "the Base58 text is 5333 characters long; no Tezos value is"),
        ("z" * 1_000_000, "the Base58 text is 1000000 characters long; no Tezos value is"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(bad: str, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        base58.decode(bad)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("code", "size"),
    [("06a1a0", 20), ("0d2c401b", 32), ("00", 20), ("", 0)],
    ids=["no such account", "expression", "bitcoin", "empty"],
)
def test_a_right_checksum_does_not_make_a_value(code: str, size: int) -> None:
    foreign = package.b58encode_check(bytes.fromhex(code) + bytes(size)).decode()
    with pytest.raises(MalformedError, match=r"^the Base58 text has a valid checksum but no known prefix"):
        base58.decode(foreign)


def test_one_altered_character_is_always_noticed() -> None:
    good = package.b58encode_check(bytes.fromhex("06a19f") + bytes(range(20))).decode()
    for index, letter in enumerate(good):
        other = base58.ALPHABET[(base58.ALPHABET.index(letter) + 1) % 58]
        with pytest.raises(MalformedError):
            base58.decode(good[:index] + other + good[index + 1 :])


def test_leading_ones_are_leading_zero_bytes() -> None:
    assert base58.encode(b"\0\0", b"x") == package.b58encode_check(b"\0\0x").decode()
    with pytest.raises(MalformedError):
        base58.decode("1" + package.b58encode_check(bytes.fromhex("06a19f") + bytes(20)).decode())


@pytest.mark.parametrize(
    ("code", "size", "said"),
    [
        ("0d0f3a07", 31, "wrong length of edsk (ed25519 secret key): 31 bytes, not 32"),
        ("06a19f", 21, "wrong length of tz1 (ed25519 hash): 21 bytes, not 20"),
        ("575200", 0, "wrong length of Net (chain id): 0 bytes, not 4"),
    ],
)
def test_a_known_prefix_with_a_wrong_length_is_named_with_both_lengths(
    code: str, size: int, said: str
) -> None:
    text = package.b58encode_check(bytes.fromhex(code) + bytes(size)).decode()

    with pytest.raises(MalformedError, match=re.escape(said)):
        base58.decode(text)
