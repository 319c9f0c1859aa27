"""Births that are not what was asked for: each field by itself, in reply, statement, record and document.

The statement is written with cbor2, the document by the software module under a root of the test's own.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from emulators import KEY_ARN, KEY_ID
from hypothesis import given
from hypothesis.strategies import binary

from cli.local import nsm_chain, nsm_device
from cli.local.faults import Faults
from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError
from signatory.nitro import nsm, sealed
from signatory.nitro.arn import Arn
from signatory.nitro.sealed import KeyName, Scheme
from signatory.rpc.extended import Born
from signatory.tezos.keys import PublicKey
from vaults.nitro.birth_check import Asked, check
from vaults.nitro.trust import Trust
from vaults.nitro.wishes import Wanted, Wish

NONCE = b"n" * 32
PAIR = keypair.from_secret(KeyType.ED25519, b"\x01" * 32, purpose=Purpose.RAW)
OTHER = keypair.from_secret(KeyType.ED25519, b"\x02" * 32, purpose=Purpose.RAW)
NAME = KeyName(PublicKey(PAIR.type, PAIR.public).id, PAIR.type, PAIR.purpose, PAIR.public, user_id="tenant")
OTHER_NAME = replace(NAME, key_id=PublicKey(OTHER.type, OTHER.public).id, public=OTHER.public)
WISH = Wish(Wanted(KeyType.ED25519, Purpose.RAW, "tenant"), Scheme.KMS_GDK)
ASKED = Asked(WISH, NONCE, KEY_ARN)
OTHER_ARN = KEY_ARN.replace("1234abcd", "9999abcd")
START = nsm_device.utc_now()
"""The time of all these tests."""


def now() -> datetime:
    return START


def milliseconds(off: timedelta = timedelta()) -> int:
    """The time of the documents, as statements say it, and so much more."""
    return int((START + off).timestamp() * 1000)


def blob(name: KeyName = NAME, scheme: Scheme = Scheme.KMS_GDK, arn: str = KEY_ARN) -> bytes:
    data_key_id = name.key_id if scheme is Scheme.KMS_GDK else "envelope:" + "0" * 32
    record = sealed.close(
        scheme,
        name,
        Arn.parse(arn),
        data_key_id,
        b"wrapped",
        data_key=bytes(32),
        nonce=bytes(12),
        secret=bytes(32),
    )
    return sealed.encode(record)


def said(**changed: Any) -> bytes:
    """A statement, its fields as `f2=...`; None leaves one out."""
    fields: dict[int, Any] = {
        1: "signatory-vault/birth/v1",
        2: "Ed25519",
        3: PAIR.public,
        4: blob(),
        5: "tenant",
        6: KEY_ARN,
        7: milliseconds(),
        8: "kms-gdk-v1",
        9: "generated",
        11: "test-1",
        12: "raw",
        13: 1,
    }
    fields |= {int(name[1:]): value for name, value in changed.items()}
    return cbor2.dumps({number: fields[number] for number in sorted(fields) if fields[number] is not None})


class Module:
    """Attests what it is told to."""

    def __init__(self, folder: Path) -> None:
        root = nsm_chain.open_root(folder, START)
        name = nsm_device.Identity("us-west-2", "i-0", "i-0-enc0")
        registers = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}
        self._device = nsm_device.Device(root, name, registers, now, Faults())
        self.trust = Trust(hashlib.sha256(root.der).digest(), (registers,))

    def document(self, statement: bytes, **changed: Any) -> bytes:
        fields = {"user_data": hashlib.sha256(statement).digest(), "nonce": NONCE, "public_key": None}
        asked = nsm.Attestation(**(fields | changed))
        return nsm.decode_reply(asked, self._device.answer(nsm.encode_request(asked)))

    def born(self, statement: bytes | None = None, **changed: Any) -> Born:
        statement = said() if statement is None else statement
        born = Born(NAME, KEY_ARN, blob(), 3, statement, self.document(statement))
        return replace(born, **changed)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    return Module(tmp_path_factory.mktemp("root"))


def test_a_birth_that_is_what_was_asked_for_becomes_the_key_to_store(module: Module) -> None:
    born = module.born()
    made = check(born, ASKED, module.trust, now())
    key = made.sealed
    assert (made.handle, made.public.data) == (3, PAIR.public)
    assert (key.id, key.type, key.purpose, key.user_id) == (NAME.key_id, PAIR.type, Purpose.RAW, "tenant")
    assert (key.blob, key.scheme, key.kms_key_arn, key.version) == (blob(), Scheme.KMS_GDK, KEY_ARN, 1)
    assert key.birth is not None
    assert (key.birth.statement, key.birth.attestation) == (born.statement, born.attestation)
    check(born, replace(ASKED, kms_key=KEY_ID), module.trust, now())


NOT_ASKED: dict[str, tuple[Callable[[Module], Born], str]] = {
    "a name of another purpose": (
        lambda module: module.born(name=replace(NAME, purpose=Purpose.TEZOS)),
        r"another key than it was asked for \(purpose\)",
    ),
    "a name of another tenant": (
        lambda module: module.born(name=replace(NAME, user_id="other")),
        r"asked for \(user_id\)",
    ),
    "a name of no tenant": (lambda module: module.born(name=replace(NAME, user_id=None)), r"\(user_id\)"),
    "a name of another version": (lambda module: module.born(name=replace(NAME, version=2)), r"\(version\)"),
    "an id of another key": (
        lambda module: module.born(name=replace(NAME, key_id=OTHER_NAME.key_id)),
        r"\(key_id\)",
    ),
    "a public key that is none": (
        lambda module: module.born(name=replace(NAME, public=b"\xff" * 32)),
        "names a public key that is none",
    ),
    "another key, whole": (
        lambda module: module.born(name=OTHER_NAME),
        r"statement is not of the key that was asked for \(public\)",
    ),
    "a statement of another type": (lambda module: module.born(said(f1="x")), "type: it is not"),
    "a statement of another family": (
        lambda module: module.born(said(f2="Secp256k1", f3=b"\x02" * 33)),
        r"\(key_type\)",
    ),
    "a statement over another blob": (lambda module: module.born(said(f4=b"x")), r"\(wrapped\)"),
    "a statement of another tenant": (lambda module: module.born(said(f5="other")), r"\(user_id\)"),
    "a statement of another KMS key": (lambda module: module.born(said(f6=OTHER_ARN)), r"\(kms_key\)"),
    "a statement of another scheme": (lambda module: module.born(said(f8="kms-envelope-v1")), r"\(wrap\)"),
    "a statement of an import": (lambda module: module.born(said(f9="imported")), r"\(origin\)"),
    "a statement with one before": (lambda module: module.born(said(f10=bytes(32))), r"\(prev\)"),
    "a statement of another purpose": (lambda module: module.born(said(f12="tezos")), r"\(purpose\)"),
    "a statement of another version": (lambda module: module.born(said(f13=2)), r"\(version\)"),
    "a statement with more in it": (lambda module: module.born(said(f14=1)), "field 14 is unknown"),
    "a KMS key of nobody": (lambda module: module.born(kms_key_arn="alias/x"), "is not the ARN of a KMS key"),
    "a KMS key that is not configured": (
        lambda module: module.born(said(f6=OTHER_ARN), kms_key_arn=OTHER_ARN),
        "the configuration names",
    ),
    "a record of another key": (
        lambda module: module.born(said(f4=blob(OTHER_NAME)), blob=blob(OTHER_NAME)),
        "the sealed record is of another key",
    ),
    "a record of another scheme": (
        lambda module: module.born(
            said(f4=blob(scheme=Scheme.KMS_ENVELOPE)), blob=blob(scheme=Scheme.KMS_ENVELOPE)
        ),
        "of another scheme or KMS key",
    ),
    "a record of another KMS key": (
        lambda module: module.born(said(f4=blob(arn=OTHER_ARN)), blob=blob(arn=OTHER_ARN)),
        "of another scheme or KMS key",
    ),
    "a document over another statement": (
        lambda module: module.born(attestation=module.document(said(f7=1))),
        "user_data: is not the expected one",
    ),
    "a document for another challenge": (
        lambda module: module.born(attestation=module.document(said(), nonce=b"m" * 32)),
        "nonce: is not the expected one",
    ),
    "a document without a challenge": (
        lambda module: module.born(attestation=module.document(said(), nonce=None)),
        "nonce: is not the expected one",
    ),
    "a document with a key, as for KMS": (
        lambda module: module.born(attestation=module.document(said(), public_key=b"key")),
        "it was made for something else",
    ),
    "a document that is none": (lambda module: module.born(attestation=b"x"), "attestation document"),
}


@pytest.mark.parametrize(("make", "words"), NOT_ASKED.values(), ids=NOT_ASKED)
def test_a_birth_that_differs_in_one_thing_is_refused_and_the_thing_is_named(
    make: Callable[[Module], Born], words: str, module: Module
) -> None:
    with pytest.raises(IntegrityError, match=words):
        check(make(module), ASKED, module.trust, now())


def test_a_birth_of_an_image_or_a_root_that_is_not_allowed_is_refused(module: Module) -> None:
    other = replace(module.trust, images=({0: b"\xee" * 48, 1: b"\xee" * 48, 2: b"\xee" * 48},))
    with pytest.raises(IntegrityError, match=r"PCR0: (01){48} is of no allowed image"):
        check(module.born(), ASKED, other, now())
    with pytest.raises(IntegrityError, match="cabundle"):
        check(module.born(), ASKED, Trust(), now())


def test_an_import_that_answers_for_another_key_or_as_generated_is_refused(module: Module) -> None:
    asked = replace(ASKED, public=OTHER.public)
    with pytest.raises(IntegrityError, match=r"another key than it was asked for \(public\)"):
        check(module.born(), asked, module.trust, now())
    asked = replace(ASKED, public=PAIR.public)
    with pytest.raises(IntegrityError, match=r"\(origin\)"):
        check(module.born(), asked, module.trust, now())
    check(module.born(said(f9="imported")), asked, module.trust, now())


def test_a_blob_of_kms_encrypt_v0_is_bound_by_its_statement_alone(module: Module) -> None:
    wanted = Wanted(KeyType.ED25519, Purpose.TEZOS)
    asked = Asked(Wish(wanted, Scheme.KMS_ENCRYPT), NONCE, KEY_ARN)
    statement = said(f4=b"of kms", f5=None, f8="kms-encrypt-v0", f12="tezos")
    name = replace(NAME, purpose=Purpose.TEZOS, user_id=None)
    made = check(module.born(statement, name=name, blob=b"of kms"), asked, module.trust, now())
    assert made.sealed.is_reference
    with pytest.raises(IntegrityError, match=r"\(wrapped\)"):
        check(module.born(statement, name=name, blob=b"other"), asked, module.trust, now())


@pytest.mark.parametrize(("minutes", "taken"), [(-6, False), (-4, True), (4, True), (6, False)])
def test_a_birth_by_a_clock_that_is_wrong_is_refused_as_a_stranger_would(
    module: Module, minutes: int, taken: bool
) -> None:
    born = module.born(said(f7=milliseconds(timedelta(minutes=minutes))))
    if taken:
        assert check(born, ASKED, module.trust, now()).sealed.birth
    else:
        with pytest.raises(IntegrityError, match=rf"the enclave's clock is {minutes * 60_000} ms away"):
            check(born, ASKED, module.trust, now())


@given(statement=binary(min_size=1, max_size=300), attestation=binary(min_size=1, max_size=300))
def test_any_bytes_for_statement_and_document_are_refused_and_nothing_else(
    statement: bytes, attestation: bytes
) -> None:
    with pytest.raises(IntegrityError):
        check(Born(NAME, KEY_ARN, blob(), 3, statement, attestation), ASKED, Trust(), now())
