"""Release manifests: the shapes that are read, what is refused at load, and what holds at which time."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitro_chain import NOW, PCRS, a_document, signed, verify

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import manifest
from signatory.nitro.attestation import AWS_ROOT_SHA256, AttestationError
from signatory.nitro.manifest import Revocation, load, pinned_root

HEX = {f"PCR{index}": PCRS[index].hex() for index in (0, 1, 2)}
SIGNER = b"\x18" * 48
IMAGE = {0: PCRS[0], 1: PCRS[1], 2: PCRS[2]}
DOCUMENT = a_document()

Json = dict[str, Any]


def loaded(value: Any) -> manifest.Manifest:
    return load(json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        HEX,
        {name.lower(): text.upper() for name, text in HEX.items()},
        {"Measurements": HEX},
        {"measurements": {**HEX, "HashAlgorithm": "Sha384 { ... }"}},
        {"Measurements": {"HashAlgorithm": "Sha384 { ... }", **HEX, "PCR8": None}, "IsSigned": False},
        {**HEX, "PCR8": None, "revoked": None, "not_before": None, "version": None},
        {**HEX, "revoked": False, "builder": "somebody", "algs": ["MlDsa44"], "Metadata": {"a": [1]}},
        {"releases": [HEX]},
        {"releases": [{"Measurements": HEX}], "version": 1},
    ],
)
def test_the_usual_shapes_of_one_unsigned_image_are_read(value: Json) -> None:
    (image,) = loaded(value).images
    assert image.pcrs == IMAGE
    assert image.revoked is None


def test_everything_about_an_image_is_read() -> None:
    (image,) = loaded(
        {
            **HEX,
            "PCR8": SIGNER.hex(),
            "version": "1.2.3",
            "commit": "a1b2c3",
            "eif_sha256": "Ab" * 32,
            "not_before": "2026-11-21T10:00:00+01:00",
            "revoked": {"at": "2026-11-21T09:00:00.5Z", "reason": "a bug"},
        }
    ).images
    assert image.pcrs == {**IMAGE, 8: SIGNER}
    assert (image.version, image.commit, image.eif_sha256) == ("1.2.3", "a1b2c3", b"\xab" * 32)
    assert image.not_before == NOW
    assert image.revoked == Revocation(NOW + timedelta(seconds=0.5), "a bug")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T09:00:00Z", NOW),
        ("2026-11-21", NOW.replace(hour=0)),
        (int(NOW.timestamp()) * 1000, NOW),
    ],
)
def test_times_are_texts_with_a_zone_days_and_milliseconds(value: Any, expected: datetime) -> None:
    assert loaded({**HEX, "not_before": value}).images[0].not_before == expected
    assert loaded({**HEX, "revoked": value}).images[0].revoked == Revocation(expected)
    assert loaded({**HEX, "revoked": True}).images[0].revoked == Revocation()


ZEROS = "00" * 48


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "PCR0: is missing"),
        ({"PCR0": HEX["PCR0"], "PCR1": HEX["PCR1"]}, "PCR2: is missing"),
        ({**HEX, "PCR1": None}, "PCR1: is missing"),
        ({**HEX, "PCR0": ZEROS}, "PCR0: is zero"),
        ({**HEX, "PCR2": ZEROS}, "PCR2: is zero"),
        ({**HEX, "PCR8": ZEROS}, "PCR8: is zero"),
        ({"Measurements": {**HEX, "PCR1": ZEROS}}, "Measurements.PCR1: is zero"),
        ({"releases": [HEX, {**HEX, "PCR0": ZEROS}]}, "releases[1].PCR0: is zero"),
        ({**HEX, "PCR0": "11" * 47}, "PCR0: 96 hex digits"),
        ({**HEX, "PCR0": "0x" + "11" * 47}, "PCR0: 96 hex digits"),
        ({**HEX, "PCR0": "11" * 48 + "\n"}, "PCR0: 96 hex digits"),
        ({**HEX, "PCR0": "\uff11" * 96}, "PCR0: 96 hex digits"),
        ({**HEX, "PCR0": 1}, "PCR0: 96 hex digits"),
        ({**HEX, "PCR3": "11" * 48}, "'pcr3'"),
        ({**HEX, "pcrs": {"0": "11"}}, "'pcrs'"),
        ({**HEX, "pcr0": HEX["PCR0"]}, "'pcr0': stands twice"),
        ({**HEX, "Measurements": HEX}, "PCR0: stands beside Measurements"),
        ({"Measurements": [HEX]}, "Measurements: an object"),
        ({"Measurements": {**HEX, "PCR4": "11" * 48}}, "Measurements.'pcr4'"),
        ({"Measurements": {**HEX, "version": "1"}}, "Measurements.'version'"),
        ({"Measurements": HEX, "measurements": HEX}, "'measurements': stands twice"),
        ({**HEX, "revokd": True}, "'revokd'"),
        ({**HEX, "notBefore": "2026-11-21"}, "'notbefore'"),
        ({**HEX, "not_after": "2026-11-21"}, "'not_after'"),
        ({**HEX, "expires": "2026-11-21"}, "'expires'"),
        ({**HEX, "valid_from": "2026-11-21"}, "'valid_from'"),
        ({**HEX, "root": "x"}, "'root'"),
        ({**HEX, "not_before": "2026-11-21T09:00:00"}, "not_before: a time"),
        ({**HEX, "not_before": "2026-13-21"}, "not_before: a time"),
        ({**HEX, "not_before": "0001-01-01T00:00:00+14:00"}, "not_before: a time"),
        ({**HEX, "not_before": int(NOW.timestamp())}, "not_before: a time"),
        ({**HEX, "not_before": True}, "not_before: a time"),
        ({**HEX, "not_before": 1.5e12}, "not_before: a time"),
        ({**HEX, "not_before": 2**70}, "not_before: a time"),
        ({**HEX, "revoked": "yes"}, "revoked: a time"),
        ({**HEX, "revoked": 1}, "revoked: a time"),
        ({**HEX, "revoked": {"when": "2026-11-21"}}, "revoked.'when'"),
        ({**HEX, "revoked": {"at": "soon"}}, "revoked.at: a time"),
        ({**HEX, "revoked": {"reason": ""}}, "revoked.reason: a printable"),
        ({**HEX, "version": -1}, "version: a printable"),
        ({**HEX, "version": "\x1b[2J"}, "version: a printable"),
        ({**HEX, "version": []}, "version: a printable"),
        ({**HEX, "commit": "x" * 129}, "commit: a printable"),
        ({**HEX, "eif_sha256": "ab"}, "eif_sha256: 64 hex digits"),
        ({**HEX, "root_sha256": "ab"}, "root_sha256: 64 hex digits"),
        ({**HEX, "partition": "aws-cn"}, "root_sha256: is missing"),
        ({**HEX, "partition": "aws", "root_sha256": "ab" * 32}, "root_sha256: is not that"),
        ({**HEX, "partition": "azure"}, "partition: aws"),
        ({**HEX, "partition": 1}, "partition: aws"),
        ({"releases": []}, "releases: an array"),
        ({"releases": HEX}, "releases: an array"),
        ({"releases": [HEX] * 1001}, "releases: an array"),
        ({"releases": ["x"]}, "releases[0]: an object"),
        ({"releases": [HEX], **HEX}, "'pcr0'"),
        ({"releases": [HEX], "revoked": True}, "'revoked'"),
        ({"releases": [HEX], "not_before": "2026-11-21"}, "'not_before'"),
        ({"releases": [{**HEX, "partition": "aws"}]}, "releases[0].'partition'"),
        ({"releases": [{"releases": [HEX]}]}, "releases[0].PCR0: is missing"),
        ({"releases": [HEX, {**HEX, "revoked": True}]}, "releases[1]: an earlier entry"),
        ({"releases": [HEX, {**HEX, "PCR8": SIGNER.hex()}]}, "releases[1]: an earlier entry"),
    ],
)
def test_what_is_refused_at_load_is_named(value: Json, field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        loaded(value)
    assert str(caught.value).startswith(f"release manifest: {field}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "well-formed"),
        (b"\xff", "well-formed"),
        (b"[]", "a JSON object"),
        (b'"x"', "a JSON object"),
        (b"[" * 100_000, "well-formed"),
        (b'{"a": NaN}', "well-formed"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "well-formed"),
        (b'{"PCR0": 1, "PCR0": 2}', "'PCR0' stands twice"),
        (b'{"a": {"\\u001b[2J": 1, "\\u001b[2J": 2}}', r"'\\x1b[2J' stands twice"),
        (b" " * (1 << 20) + b"{}", "bytes; at most"),
    ],
)
def test_bytes_that_are_no_manifest_are_malformed(data: bytes, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        load(data)
    assert words.replace("\\\\", "\\") in str(caught.value)


_leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
_names = st.sampled_from(["PCR0", "pcr8", "Measurements", "releases", "revoked", "not_before", "partition"])
_any = st.recursive(
    _leaf | st.just("11" * 48),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(max_size=4), inner),
    max_leaves=10,
)


@given(data=st.binary(max_size=60) | _any.map(lambda value: json.dumps(value).encode()), whole=st.booleans())
def test_any_bytes_are_a_manifest_or_malformed(data: bytes, whole: bool) -> None:
    text = data if whole else json.dumps(HEX).encode()[:-1] + b', "x": ' + data + b"}"
    try:
        assert all(any(value) for image in load(text).images for value in image.pcrs.values())
    except MalformedError:
        return


def test_a_document_is_of_the_one_image_that_has_its_registers() -> None:
    other = dict.fromkeys(HEX, "77" * 48)
    found = loaded({"releases": [{**other, "version": "2"}, {**HEX, "version": "1"}]})
    assert found.match(DOCUMENT).version == "1"
    assert verify(signed(), pcrs=found.registers(NOW)) == DOCUMENT
    with pytest.raises(AttestationError) as caught:
        loaded(other).match(DOCUMENT)
    assert caught.value.field == "PCR0"
    mixed = loaded({"releases": [{**HEX, "PCR0": "77" * 48}, {**other, "PCR0": HEX["PCR0"]}]})
    with pytest.raises(AttestationError, match="no image has them all"):
        mixed.match(DOCUMENT)


def test_one_image_with_two_signers_is_two_entries() -> None:
    found = loaded(
        {"releases": [{**HEX, "PCR8": f"{digit}8" * 48, "version": str(digit)} for digit in (1, 2)]}
    )
    assert found.match(a_document(pcrs={**PCRS, 8: b"\x28" * 48})).version == "2"
    for pcr8 in ({8: bytes(48)}, {8: b"\x38" * 48}):
        with pytest.raises(AttestationError) as caught:
            found.match(a_document(pcrs={**PCRS, **pcr8}))
        assert caught.value.field == "PCR8"


def test_a_release_is_good_from_its_first_moment_until_it_is_called_back() -> None:
    value = {**HEX, "version": "1.0", "not_before": "2026-11-21T08:59:59Z"}
    revoked = {"at": "2026-11-21T09:00:01Z", "reason": "a bug"}
    found = loaded({**value, "revoked": revoked})

    def at(seconds: int) -> manifest.Image:
        return found.match(a_document(timestamp_ms=DOCUMENT.timestamp_ms + 1000 * seconds))

    assert at(-1) == at(0)
    for seconds, field, words in (
        (-2, "not_before", "the release 1.0 is good from"),
        (1, "revoked", "the release 1.0 was called back at 2026-11-21T09:00:01+00:00: a bug"),
        (2, "revoked", "called back"),
    ):
        with pytest.raises(AttestationError, match=words.replace("+", r"\+")) as caught:
            at(seconds)
        assert caught.value.field == field
    with pytest.raises(AttestationError, match="called back"):
        loaded({**value, "revoked": True}).match(DOCUMENT)


def test_only_releases_that_are_good_at_a_time_are_given_out_and_never_none() -> None:
    found = loaded({**HEX, "revoked": "2026-11-22"})
    assert found.registers(NOW) == (IMAGE,)
    with pytest.raises(ConfigError, match="no release"):
        found.registers(NOW + timedelta(days=1))


def test_the_root_is_the_one_given_or_the_manifests_or_that_of_aws() -> None:
    other = "ab" * 32
    colons = ":".join(["AB"] * 32)
    assert pinned_root(None) == pinned_root(loaded(HEX)) == AWS_ROOT_SHA256
    assert pinned_root(loaded({**HEX, "partition": "aws"})) == AWS_ROOT_SHA256
    for text in (other, colons):
        found = loaded({**HEX, "partition": "aws-cn", "root_sha256": text})
        assert pinned_root(found) == pinned_root(found, b"\xab" * 32) == b"\xab" * 32
        with pytest.raises(ConfigError, match="another root"):
            pinned_root(found, AWS_ROOT_SHA256)
    assert pinned_root(loaded(HEX), b"\xab" * 32) == b"\xab" * 32


def test_an_image_without_a_name_is_called_by_its_measurement() -> None:
    image = loaded(HEX).images[0]
    assert image.name == "with PCR0 1010101010101010..."
    assert replace(image, commit="a1").name == "a1"
