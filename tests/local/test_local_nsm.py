"""The software NSM as a process, asked in bytes made by hand, checked with cbor2 and cryptography alone."""

import hashlib
import itertools
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from emulators import INSTANCE, ROLE, Emulators, control, short_folder
from hypothesis import given
from hypothesis.strategies import binary
from laptop_processes import ask, ask_on, prepare_tree

from cli.local import nsm_chain
from cli.local.faults import Faults
from cli.local.nsm_device import Device, Identity
from signatory.errors import IntegrityError
from signatory.nitro import attestation

AWS_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


def running(folder: Path) -> AbstractContextManager[Emulators]:
    return Emulators(folder, prepare_tree(folder)).running(kms=False)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as made, running(made):
        yield made


@pytest.fixture(name="nsm")
def _nsm(folder: Path) -> Path:
    control(folder / "nsm" / "control", do="clear")
    return folder / "nsm.sock"


def attest(nsm: Path, **fields: bytes | None) -> bytes:
    asked = {"user_data": None, "nonce": None, "public_key": None} | fields
    document: bytes = cbor2.loads(ask(nsm, cbor2.dumps({"Attestation": asked})))["Attestation"]["document"]
    return document


def payload_of(document: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = cbor2.loads(cbor2.loads(document)[2])
    return payload


def test_randomness_is_256_fresh_bytes(nsm: Path) -> None:
    first, second = (ask(nsm, bytes.fromhex("6947657452616e646f6d")) for _ in range(2))
    head = bytes.fromhex("a1 69 47657452616e646f6d a1 66 72616e646f6d 59 0100")
    assert first.startswith(head)
    assert len(first) == len(head) + 256
    assert first != second


def test_the_module_describes_itself_as_the_device_does(nsm: Path) -> None:
    described = cbor2.loads(ask(nsm, bytes.fromhex("6b44657363726962654e534d")))["DescribeNSM"]
    module_id = described.pop("module_id")
    assert module_id.startswith(f"{INSTANCE}-enc")
    assert len(module_id) == len(INSTANCE) + 4 + 16
    assert described == {
        "version_major": 1,
        "version_minor": 0,
        "version_patch": 0,
        "max_pcrs": 32,
        "locked_pcrs": list(range(16)),
        "digest": "SHA384",
    }


def test_the_registers_hold_program_settings_role_and_instance(nsm: Path, folder: Path) -> None:
    def h(data: bytes) -> bytes:
        return hashlib.sha384(data).digest()

    def framed(name: bytes, content: bytes) -> bytes:
        return len(name).to_bytes(4, "big") + name + len(content).to_bytes(8, "big") + content

    names = ("include.txt", "one.py", "two.py")
    parts = {f"enclave_signer/{name}": folder / "tree" / "enclave_signer" / name for name in names}
    program = b"".join(framed(name.encode(), path.read_bytes()) for name, path in parts.items())
    settings = framed(b"settings", (folder / "settings.toml").read_bytes())
    boot = framed(b"boot", b"python -I -m enclave_signer SETTINGS")
    expected = [
        h(bytes(48) + h(program + settings)),
        h(bytes(48) + h(boot + settings)),
        h(bytes(48) + h(program)),
        h(bytes(48) + ROLE.encode()),
        h(bytes(48) + INSTANCE.encode()),
        *[bytes(48)] * 11,
    ]
    for index, value in enumerate(expected):
        asked = bytes.fromhex("a16b4465736372696265504352a165696e646578") + bytes([index])
        assert cbor2.loads(ask(nsm, asked)) == {"DescribePCR": {"lock": True, "data": value}}


def test_an_application_register_is_extended_until_it_is_locked_and_only_then_attested() -> None:
    with short_folder() as folder, running(folder):
        path = folder / "nsm.sock"
        extend = cbor2.dumps({"ExtendPCR": {"index": 16, "data": b"abc"}})
        value = hashlib.sha384(bytes(48) + b"abc").digest()
        assert cbor2.loads(ask(path, extend)) == {"ExtendPCR": {"data": value}}
        value = hashlib.sha384(value + b"abc").digest()
        assert cbor2.loads(ask(path, extend)) == {"ExtendPCR": {"data": value}}
        assert 16 not in payload_of(attest(path))["pcrs"]
        assert ask(path, cbor2.dumps({"LockPCR": {"index": 16}})) == bytes.fromhex("674c6f636b504352")
        assert payload_of(attest(path))["pcrs"][16] == value
        assert cbor2.loads(ask(path, extend)) == {"Error": "ReadOnlyIndex"}
        assert cbor2.loads(ask(path, cbor2.dumps({"LockPCRs": {"range": 32}}))) == "LockPCRs"
        assert sorted(payload_of(attest(path))["pcrs"]) == list(range(32))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"LockPCR": {"index": 0}}, "ReadOnlyIndex"),
        ({"ExtendPCR": {"index": 0, "data": b"x"}}, "ReadOnlyIndex"),
        ({"DescribePCR": {"index": 32}}, "InvalidIndex"),
        ({"ExtendPCR": {"index": 32, "data": b"x"}}, "InvalidIndex"),
        ({"LockPCR": {"index": 65535}}, "InvalidIndex"),
        ({"LockPCRs": {"range": 33}}, "InvalidIndex"),
        ({"DescribePCR": {"index": -1}}, "InvalidOperation"),
        ("Reboot", "InvalidOperation"),
        ({"Attestation": {"user_data": bytes(513), "nonce": None, "public_key": None}}, "InputTooLarge"),
        ({"Attestation": {"user_data": None, "nonce": bytes(513), "public_key": None}}, "InputTooLarge"),
        ({"Attestation": {"user_data": None, "nonce": None, "public_key": bytes(1025)}}, "InputTooLarge"),
        ({"ExtendPCR": {"index": 20, "data": bytes(4096)}}, "InputTooLarge"),
        ({"ExtendPCR": {"index": 20, "data": bytes(513)}}, "InputTooLarge"),
        ({"DescribePCR": {"index": 1, "more": 1}}, "InvalidOperation"),
        ({"DescribeNSM": None, "GetRandom": None}, "InvalidOperation"),
    ],
)
def test_it_refuses_in_the_words_of_the_device(nsm: Path, request_: Any, code: str) -> None:
    assert cbor2.loads(ask(nsm, cbor2.dumps(request_))) == {"Error": code}


@pytest.mark.parametrize("sizes", [(512, 0, 0), (0, 512, 0), (0, 0, 1024), (512, 512, 1024)])
def test_a_document_carries_what_the_device_takes_at_most(nsm: Path, sizes: tuple[int, int, int]) -> None:
    names = ("user_data", "nonce", "public_key")
    given = {name: b"x" * size or None for name, size in zip(names, sizes, strict=True)}
    said = payload_of(attest(nsm, **given))
    assert {name: said[name] for name in names} == given


def test_each_document_has_the_fields_of_its_own_request_only(nsm: Path) -> None:
    payload_of(attest(nsm, user_data=b"u", nonce=b"n", public_key=b"k"))
    said = payload_of(attest(nsm))
    assert (said["user_data"], said["nonce"], said["public_key"]) == (None, None, None)


def test_an_overlong_request_is_refused_and_the_stream_stays_in_step(nsm: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(nsm))
        assert cbor2.loads(ask_on(stream, bytes(100_000))) == {"Error": "InputTooLarge"}
        assert cbor2.loads(ask_on(stream, b"")) == {"Error": "InvalidOperation"}
        assert "GetRandom" in cbor2.loads(ask_on(stream, cbor2.dumps("GetRandom")))


def test_a_document_verifies_by_hand_up_to_the_own_root_which_says_that_it_is_not_genuine(
    nsm: Path, folder: Path
) -> None:
    document = attest(nsm, user_data=b"u" * 512, nonce=b"n", public_key=b"k" * 1024)
    protected, unprotected, payload, signature = cbor2.loads(document)
    assert document.startswith(bytes.fromhex("8444a1013822a059"))
    assert (protected.hex(), unprotected, len(signature)) == ("a1013822", {}, 96)
    said = cbor2.loads(payload)
    assert list(said) == [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
        "public_key",
        "user_data",
        "nonce",
    ]
    assert (said["user_data"], said["nonce"], said["public_key"]) == (b"u" * 512, b"n", b"k" * 1024)
    assert abs(said["timestamp"] / 1000 - datetime.now(UTC).timestamp()) < 60
    chain = [x509.load_der_x509_certificate(der) for der in (*said["cabundle"], said["certificate"])]
    assert [len(der) <= 1024 for der in said["cabundle"]] == [True] * 4
    for issuer, issued in itertools.pairwise(chain):
        issued.verify_directly_issued_by(issuer)
    key = chain[-1].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(encode_dss_signature(r, s), structure, ec.ECDSA(SHA384()))
    root = (folder / "nsm" / "root.der").read_bytes()
    assert said["cabundle"][0] == root
    assert "NOT GENUINE" in chain[0].subject.rfc4514_string()
    assert hashlib.sha256(root).hexdigest() != AWS_ROOT_SHA256


def test_the_chain_has_the_lifetimes_and_constraints_of_the_genuine_one(nsm: Path) -> None:
    said = payload_of(attest(nsm))
    chain = [x509.load_der_x509_certificate(der) for der in (*said["cabundle"][1:], said["certificate"])]
    lifetimes = [each.not_valid_after_utc - each.not_valid_before_utc for each in chain]
    constraints = [each.extensions.get_extension_for_class(x509.BasicConstraints).value for each in chain]
    assert lifetimes == [
        timedelta(days=20, hours=1),
        timedelta(days=5, hours=16),
        timedelta(hours=24),
        timedelta(hours=3, seconds=3),
    ]
    assert [(each.ca, each.path_length) for each in constraints] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, None),
    ]


def test_the_leaf_serves_several_documents(nsm: Path) -> None:
    assert payload_of(attest(nsm))["certificate"] == payload_of(attest(nsm))["certificate"]


def test_no_document_verifies_against_the_pinned_aws_root(nsm: Path) -> None:
    with pytest.raises(IntegrityError, match="not the pinned root"):
        attestation.verify(attest(nsm))


def test_the_root_outlives_the_process() -> None:
    with short_folder() as folder:
        state, roots = folder / "nsm", set()
        for _ in range(2):
            with running(folder):
                roots.add(payload_of(attest(folder / "nsm.sock"))["cabundle"][0])
        assert len(roots) == 1
        assert {path.stat().st_mode & 0o077 for path in state.glob("root.*")} == {0}


def test_it_can_be_told_to_fail_and_to_be_short_of_randomness(nsm: Path, folder: Path) -> None:
    told = folder / "nsm" / "control"
    assert control(told, do="fail", operation="GetRandom", error="InternalError") == {"ok": True}
    assert control(told, do="short", size=1) == {"ok": True}
    answers = [cbor2.loads(ask(nsm, cbor2.dumps("GetRandom"))) for _ in range(3)]
    assert answers[0] == {"Error": "InternalError"}
    assert [len(answer["GetRandom"]["random"]) for answer in answers[1:]] == [1, 256]
    assert control(told, do="status")["calls"]["GetRandom"] >= 3
    assert "error" in control(told, do="fail", error="X", times=0)
    assert "error" in control(told, do="dance")


def test_a_new_chain_is_made_before_the_leaf_runs_out(tmp_path: Path) -> None:
    now = [datetime(2030, 1, 1, tzinfo=UTC)]
    root = nsm_chain.open_root(tmp_path, now[0])
    device = Device(root, Identity("xx-laptop-1", INSTANCE, "m"), {}, lambda: now[0], Faults())
    asked = cbor2.dumps({"Attestation": {"user_data": None, "nonce": None, "public_key": None}})

    def leaf() -> bytes:
        document = cbor2.loads(device.answer(asked))["Attestation"]["document"]
        certificate: bytes = payload_of(document)["certificate"]
        return certificate

    first = leaf()
    now[0] += timedelta(hours=2)
    assert leaf() == first
    now[0] += timedelta(minutes=51)
    assert leaf() != first


@given(body=binary(max_size=200))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    device = Device(_ROOT, Identity("xx-laptop-1", INSTANCE, "m"), {}, lambda: _NOW, Faults())
    assert cbor2.loads(device.answer(body))


_NOW = datetime(2030, 1, 1, tzinfo=UTC)
_ROOT = nsm_chain._make_root(_NOW)
