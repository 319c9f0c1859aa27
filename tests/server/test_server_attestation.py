"""GET /keys/{pkh}/attestation: the birth certificate as it is stored, never one of another key."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from serving import PAIRS, TZ1, TZ2, TZ3, Running, ScriptedVault, serving

from cli.local import nsm_chain, nsm_device
from cli.local.faults import Faults
from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from signatory.nitro import birth_verify, manifest
from signatory.tezos.keys import PublicKey
from signatory.vault import KeyBirth

ARN = "arn:aws:kms:us-west-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
PCRS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}
RAW = keypair.from_secret(KeyType.MLDSA65, bytes(range(1, 33)))
RAW_ID = PublicKey(RAW.type, RAW.public).id
NONE = "no birth certificate of this key is stored"


class Births:
    """Certifies births as an enclave does, by hand and by a software NSM."""

    def __init__(self, folder: Path) -> None:
        root = nsm_chain.open_root(folder, nsm_device.utc_now())
        identity = nsm_device.Identity("xx-laptop-1", "i-0123456789abcdef0", "i-0123456789abcdef0-enc01")
        self.root = hashlib.sha256(root.der).digest()
        self._device = nsm_device.Device(root, identity, PCRS, nsm_device.utc_now, Faults())

    def attested(self, user_data: bytes) -> bytes:
        fields = {"user_data": user_data, "nonce": None, "public_key": None}
        reply = cbor2.loads(self._device.answer(cbor2.dumps({"Attestation": fields})))
        document: bytes = reply["Attestation"]["document"]
        return document

    def of(self, alg: str, public: bytes, **more: Any) -> KeyBirth:
        fields = {
            1: "signatory-vault/birth/v1",
            2: alg,
            3: public,
            4: b"sealed record",
            5: more.get("user_id"),
            6: ARN,
            7: int(nsm_device.utc_now().timestamp() * 1000),
            8: "kms-gdk-v1",
            9: "generated",
            12: more.get("purpose", "tezos"),
            13: 1,
        }
        statement = cbor2.dumps({number: value for number, value in fields.items() if value is not None})
        return KeyBirth(statement, self.attested(hashlib.sha256(statement).digest()))


class CertifiedVault(ScriptedVault):
    """A vault that keeps births, of whatever keys."""

    def __init__(self, *pairs: keypair.KeyPair) -> None:
        super().__init__(*pairs)
        self.births: dict[str, KeyBirth] = {}

    def birth(self, key_id: str) -> KeyBirth | None:
        return self.births.get(key_id)


@pytest.fixture(scope="module")
def births(tmp_path_factory: pytest.TempPathFactory) -> Births:
    return Births(tmp_path_factory.mktemp("nsm"))


@pytest.fixture
def vault(births: Births) -> CertifiedVault:
    """Of three keys the first and the raw one have a certificate."""
    made = CertifiedVault(PAIRS[KeyType.ED25519], PAIRS[KeyType.SECP256K1], RAW)
    made.births[TZ1] = births.of("Ed25519", PAIRS[KeyType.ED25519].public)
    made.births[RAW_ID] = births.of("MlDsa65", RAW.public, purpose="raw", user_id="tenant-1")
    return made


async def status_and_message(running: Running, key: str, method: str = "GET") -> tuple[int, str]:
    reply = await running.ask(method, f"/keys/{key}/attestation")
    return reply.status, reply.message


async def test_the_stored_bytes_come_out_with_what_they_say(vault: CertifiedVault) -> None:
    async with serving(vault) as running:
        reply = await running.ask("GET", f"/keys/{TZ1}/attestation")
    stored = vault.births[TZ1]
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert set(reply.value) == {"public_key_hash", "statement", "attestation", "metadata"}
    assert reply.value["public_key_hash"] == TZ1
    assert base64.b64decode(reply.value["statement"], validate=True) == stored.statement
    assert base64.b64decode(reply.value["attestation"], validate=True) == stored.attestation
    metadata = reply.value["metadata"]
    assert metadata["alg"] == "Ed25519"
    assert base64.b64decode(metadata["public_key"]) == PAIRS[KeyType.ED25519].public
    assert base64.b64decode(metadata["wrapped_dk"]) == b"sealed record"
    assert (metadata["kms_key_arn"], metadata["wrap"], metadata["origin"]) == (ARN, "kms-gdk-v1", "generated")
    assert (metadata["purpose"], metadata["user_id"]) == ("tezos", None)


async def test_what_comes_out_is_enough_to_verify_the_birth_elsewhere(
    vault: CertifiedVault, births: Births
) -> None:
    async with serving(vault) as running:
        reply = await running.ask("GET", f"/keys/{RAW_ID}/attestation")
    releases = manifest.load(
        json.dumps({f"PCR{index}": value.hex() for index, value in PCRS.items()}).encode()
    )
    proved = birth_verify.verify(
        base64.b64decode(reply.value["attestation"]),
        reply.value["metadata"],
        releases,
        statement=base64.b64decode(reply.value["statement"]),
        root_sha256=births.root,
    )
    assert proved.statement.public == RAW.public
    assert (proved.statement.purpose, proved.statement.user_id) == (Purpose.RAW, "tenant-1")


async def test_the_key_need_not_be_listed_in_the_configuration(vault: CertifiedVault) -> None:
    async with serving(vault, tezos=f"  {TZ3}:\n") as running:
        reply = await running.ask("GET", f"/keys/{TZ1}/attestation")
    assert reply.status == 200


async def test_a_key_without_a_certificate_is_404(vault: CertifiedVault) -> None:
    async with serving(vault) as running:
        assert await status_and_message(running, TZ2) == (404, NONE)


async def test_a_vault_that_keeps_no_certificates_is_404() -> None:
    async with serving() as running:
        assert await status_and_message(running, TZ1) == (404, NONE)


async def test_a_key_that_nobody_has_is_404_as_for_its_public_key(vault: CertifiedVault) -> None:
    unknown = "mldsa87:" + "0" * 40
    async with serving(vault) as running:
        for key in (TZ3, unknown):
            assert await status_and_message(running, key) == (404, "this key not found in any vault")


@pytest.mark.parametrize(
    "key", ["tz1", "mldsa65:", "mldsa65:" + "A" * 40, "mldsa44:" + "0" * 40, "x", TZ1[:-1]]
)
async def test_what_is_the_id_of_no_key_is_400(vault: CertifiedVault, key: str) -> None:
    async with serving(vault) as running:
        status, message = await status_and_message(running, key)
    assert (status, bool(message)) == (400, True)
    assert vault.listed == 1


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_405_as_beside_it(vault: CertifiedVault, method: str) -> None:
    async with serving(vault) as running:
        replies = [await running.ask(method, f"/keys/{TZ1}/attestation")]
        replies.append(await running.ask("PUT", f"/keys/{TZ1}"))
    assert [(reply.status, reply.body) for reply in replies] == [(405, b"")] * 2


@pytest.mark.parametrize(
    "path",
    [
        f"/bls_prove_possession/{TZ1}/attestation",
        f"/keys/{TZ1}/attestation/",
        f"/keys/{TZ1}/attestations",
        f"/keys/{TZ1}/attestation/more",
        "/keys/attestation/",
        "/attestation",
    ],
)
async def test_a_path_beside_it_is_404(vault: CertifiedVault, path: str) -> None:
    async with serving(vault) as running:
        assert (await running.ask("GET", path)).status == 404


async def test_a_key_named_attestation_is_none(vault: CertifiedVault) -> None:
    async with serving(vault) as running:
        assert (await running.ask("GET", "/keys/attestation")).status == 400


async def test_a_key_that_its_vault_cannot_use_now_still_shows_its_certificate(vault: CertifiedVault) -> None:
    del vault.pairs[TZ1]
    async with serving(vault) as running:
        assert (await running.ask("GET", f"/keys/{TZ1}")).status == 404
        assert (await running.ask("GET", f"/keys/{TZ1}/attestation")).status == 200


async def test_of_two_vaults_with_one_key_the_one_that_signs_answers(vault: CertifiedVault) -> None:
    async with serving(ScriptedVault(PAIRS[KeyType.ED25519]), vault) as running:
        assert await status_and_message(running, TZ1) == (404, NONE)
    async with serving(vault, ScriptedVault(PAIRS[KeyType.ED25519])) as running:
        assert (await running.ask("GET", f"/keys/{TZ1}/attestation")).status == 200


async def test_a_vault_that_is_not_open_is_503(vault: CertifiedVault) -> None:
    broken = CertifiedVault(PAIRS[KeyType.P256])
    broken.listing_error = UnavailableError("away")
    async with serving(vault, broken) as running:
        status, message = await status_and_message(running, TZ3)
    assert (status, message) == (503, "vault vault1 is not ready: away")


def cut(birth: KeyBirth) -> KeyBirth:
    return replace(birth, statement=birth.statement[:-1])


def without_document(birth: KeyBirth) -> KeyBirth:
    return replace(birth, attestation=b"")


def no_document(birth: KeyBirth) -> KeyBirth:
    return replace(birth, attestation=cbor2.dumps([b"", {}, b"", b""]))


@pytest.mark.parametrize("spoil", [cut, without_document, no_document])
async def test_stored_bytes_that_cannot_be_read_are_500(vault: CertifiedVault, spoil: Any) -> None:
    vault.births[TZ1] = spoil(vault.births[TZ1])
    async with serving(vault) as running:
        status, message = await status_and_message(running, TZ1)
    assert status == 500
    assert message.startswith("the stored birth certificate cannot be read: ")


async def test_the_certificate_of_another_key_is_500(vault: CertifiedVault) -> None:
    vault.births[TZ1] = vault.births[RAW_ID]
    async with serving(vault) as running:
        answer = await status_and_message(running, TZ1)
    assert answer == (500, "the stored birth certificate is of another key")


async def test_the_document_of_another_birth_is_500(vault: CertifiedVault) -> None:
    vault.births[TZ1] = replace(vault.births[TZ1], attestation=vault.births[RAW_ID].attestation)
    async with serving(vault) as running:
        answer = await status_and_message(running, TZ1)
    assert answer == (500, "the stored attestation document is not of the stored birth statement")
