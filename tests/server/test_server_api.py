"""The HTTP API on real sockets: bodies, status codes and the order of checks of the reference sheet."""

import asyncio
import hashlib
import json
import logging

import base58
import pytest
from coincurve import PublicKey as Secp256k1
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from serving import (
    CHAIN,
    EVERYTHING,
    PAIRS,
    TRANSACTION,
    TZ1,
    TZ2,
    TZ4,
    TZ5,
    ScriptedVault,
    attestation,
    serving,
)

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from signatory.observe.log import Duration
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature
from signatory.vault import Readiness

CLIENT = keypair.from_secret(KeyType.ED25519, bytes([9]) * 32)
CLIENT_KEY = PublicKey(CLIENT.type, CLIENT.public)
AUTHORIZED = f"  authorized_keys: [{CLIENT_KEY.text}]"
UNKNOWN = PublicKey(CLIENT.type, CLIENT.public).id


async def test_a_signature_verifies_with_an_independent_library() -> None:
    async with serving() as running:
        reply = await running.sign(TZ1, TRANSACTION)
        public = await running.ask("GET", f"/keys/{TZ1}")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.body == json.dumps(reply.value, separators=(",", ":")).encode() + b"\n"
    signature = base58.b58decode_check(reply.value["signature"])
    key = base58.b58decode_check(public.value["public_key"])
    assert (signature[:5].hex(), key[:4].hex()) == ("09f5cd8612", "0d0f25d9")
    digest = hashlib.blake2b(TRANSACTION, digest_size=32).digest()
    Ed25519PublicKey.from_public_bytes(key[4:]).verify(signature[5:], digest)


async def test_every_family_signs_with_its_own_prefix() -> None:
    async with serving() as running:
        texts = {
            pkh[:3]: (await running.sign(pkh, TRANSACTION)).value["signature"] for pkh in (TZ1, TZ2, TZ4, TZ5)
        }
    assert [text[:5] for text in texts.values()] == ["edsig", "spsig", "BLsig", "mdsig"]


async def test_a_secp256k1_signature_verifies_with_an_independent_library() -> None:
    async with serving() as running:
        text = (await running.sign(TZ2, TRANSACTION)).value["signature"]
    data = base58.b58decode_check(text)[5:]
    digest = hashlib.blake2b(TRANSACTION, digest_size=32).digest()
    found = Secp256k1(PAIRS[KeyType.SECP256K1].public)
    numbers = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")
    der = _der(numbers)
    assert found.verify(der, digest, hasher=None)


async def test_golden_bodies_of_the_reference() -> None:
    async with serving() as running:
        empty = await running.ask("POST", f"/keys/{TZ1}", b"")
        binary = await running.ask("POST", f"/keys/{TZ1}", b"\x03")
    assert empty.status == binary.status == 400
    assert empty.body == b'[{"id":"failure","kind":"temporary","msg":"unexpected end of JSON input"}]\n'
    assert binary.body == (
        b'[{"id":"failure","kind":"temporary",'
        b'"msg":"invalid character \'\\\\x03\' looking for beginning of value"}]\n'
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'""', "gotez: buffer is too short, at least 1 byte(s) were expected, had 0"),
        (b"null", "gotez: buffer is too short, at least 1 byte(s) were expected, had 0"),
        (b'"05"', None),
        (b'"01"', "gotez: unknown tag 1"),
        (b'"0Z"', "encoding/hex: invalid byte: U+005A 'Z'"),
        (b'"0"', "encoding/hex: odd length hex string"),
        (b"5", "json: cannot unmarshal number into Go value of type string"),
        (b'{"a":1,"a":2}', "json: cannot unmarshal object into Go value of type string"),
        (b"[" * 5000 + b"]" * 5000, "json: cannot unmarshal array into Go value of type string"),
    ],
)
async def test_bodies_that_are_no_sign_request_are_400(body: bytes, text: str | None) -> None:
    async with serving() as running:
        reply = await running.ask("POST", f"/keys/{TZ1}", body)
    assert reply.status == 400
    assert text is None or reply.message == text


@pytest.mark.parametrize(
    "pkh",
    [
        TZ1[:-1] + ("a" if TZ1[-1] != "a" else "b"),
        "KT1BEqzn5Wx8uJrZNvKS9DVHdLvK9dpJgVmX",
        base58.b58encode_check(bytes.fromhex("06a1a6") + bytes(19)).decode(),
        base58.b58encode_check(b"\x01\x02\x03" + bytes(20)).decode(),
        "%00",
        "tz1%CF%84",
        "tz",
        "mldsa65:" + "0" * 39,
    ],
)
async def test_what_is_no_key_hash_is_400_and_counted_as_unknown(pkh: str) -> None:
    async with serving() as running:
        signed = await running.ask("POST", f"/keys/{pkh}", b'"00"')
        shown = await running.ask("GET", f"/keys/{pkh}")
        proved = await running.ask("GET", f"/bls_prove_possession/{pkh}")
        metrics = await running.metrics()
    assert [signed.status, shown.status, proved.status] == [400, 400, 400]
    assert 'sign_handler_requests_total{address="unknown",status="400"} 1\n' in metrics
    assert signed.message


async def test_post_quantum_keys_without_a_tezos_form_are_404() -> None:
    async with serving() as running:
        for method in ("GET", "POST"):
            reply = await running.ask(
                method, f"/keys/mldsa87:{'0' * 40}", b'"03"' if method == "POST" else None
            )
            assert (reply.status, reply.message) == (404, "this key not found in any vault")


async def test_a_raw_key_is_404_even_where_it_is_listed() -> None:
    raw = keypair.from_secret(KeyType.MLDSA44, bytes(32), purpose=Purpose.RAW)
    pkh = PublicKey(raw.type, raw.public).id
    async with serving(ScriptedVault(raw), tezos=f"  {pkh}: {EVERYTHING}") as running:
        assert (await running.sign(pkh, TRANSACTION)).status == 404
        assert (await running.ask("GET", f"/keys/{pkh}")).status == 404


@pytest.mark.parametrize(
    "path", ["/", "/keys", "/keys/", "/keys/a/b", "/keys/a%2Fb", "/login", "/healthz", "/x"]
)
async def test_an_unknown_path_is_a_plain_404(path: str) -> None:
    async with serving() as running:
        reply = await running.ask("GET", path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_a_known_path_with_another_method_is_405_without_a_body(method: str) -> None:
    async with serving() as running:
        reply = await running.ask(method, f"/keys/{TZ1}")
    assert (reply.status, reply.body) == (405, b"")
    assert "allow" not in reply.headers


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (f"//keys/{TZ1}", f"/keys/{TZ1}"),
        ("/keys/../authorized_keys", "/authorized_keys"),
        ("/keys/./x?a=b", "/keys/x?a=b"),
        ("/keys/%0d%0aX:%20y/../z", "/keys/z"),
        ("/./\\other.example/", "/%5Cother.example/"),
        ("//%5c%5cother.example", "/%5C%5Cother.example"),
    ],
)
async def test_an_unclean_path_is_moved_to_the_clean_one(path: str, location: str) -> None:
    async with serving() as running:
        reply = await running.ask("GET", path)
    assert (reply.status, reply.headers["location"]) == (301, location)


async def test_a_moved_location_cannot_break_out_of_its_header() -> None:
    async with serving() as running:
        reply = await running.ask("GET", "//%0d%0aX-Evil:%20y")
    assert reply.headers["location"] == "/%0D%0AX-Evil:%20y"
    assert "x-evil" not in reply.headers


async def test_an_unlisted_key_is_403_before_its_request_is_parsed() -> None:
    async with serving() as running:
        reply = await running.sign(UNKNOWN, b"\x01")
    assert (reply.status, reply.message) == (403, f"{UNKNOWN} is not listed in config")


async def test_a_listed_key_that_no_vault_holds_is_404_after_parsing() -> None:
    async with serving(ScriptedVault(), tezos=f"  {TZ1}: {EVERYTHING}") as running:
        assert (await running.sign(TZ1, b"\x01")).status == 400
        reply = await running.sign(TZ1, TRANSACTION)
    assert (reply.status, reply.message) == (404, "this key not found in any vault")


async def test_a_vault_that_is_not_ready_turns_not_found_into_unavailable() -> None:
    broken = ScriptedVault(*PAIRS.values())
    broken.opening_error = UnavailableError("the enclave does not answer", hint="start it")
    async with serving(broken) as running:
        reply = await running.sign(TZ1, TRANSACTION)
        health = await running.ask("GET", "/healthz", utility=True)
        verbose = await running.ask("GET", "/healthz?verbose", utility=True)
    assert reply.status == 503
    assert reply.message == "vault vault0 is not ready: the enclave does not answer; start it"
    assert (health.status, health.body) == (503, b'{"ready":false}\n')
    assert verbose.value["vaults"]["vault0"]["reason"] == "the enclave does not answer; start it"


@pytest.mark.parametrize(
    ("policy", "message", "text", "violation"),
    [
        ("{allow: {block: }}", TRANSACTION, "request kind `generic' is not allowed", "generic"),
        ("{allow: {generic: [reveal]}}", TRANSACTION,
         "operation `transaction' is not allowed", "transaction"),
        ("{allow: {attestation: }, allowed_chains: []}", attestation(1),
         f"chain `{CHAIN}' is not allowed", None),
        (f"{{allow: {{generic: [transaction]}}, authorized_keys: [{CLIENT_KEY.text}]}}", TRANSACTION,
         "authentication required", "authentication"),
        ("{}", attestation(1), "request kind `attestation' is not allowed", "attestation"),
    ],
)  # fmt: skip
async def test_the_policy_refuses_with_its_texts_and_is_counted(
    policy: str, message: bytes, text: str, violation: str | None
) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, tezos=f"  {TZ1}: {policy}") as running:
        reply = await running.sign(TZ1, message)
        metrics = await running.metrics()
    assert (reply.status, reply.message, vault.signed) == (403, text, [])
    line = (
        f'policy_violation_total{{address="{TZ1}",operation_type="request",violation_type="{violation}"}} 1\n'
    )
    assert (line in metrics) is (violation is not None)


@pytest.mark.parametrize(
    ("version", "wanted"), [("0", 200), ("1", 200), ("2", 200), ("3", 200), ("x", 200), ("", 200)]
)
async def test_every_version_text_signs_for_an_ed25519_key(version: str, wanted: int) -> None:
    async with serving() as running:
        assert (await running.sign(TZ1, TRANSACTION, f"?version={version}")).status == wanted


@pytest.mark.parametrize(
    ("pkh", "version", "text"),
    [
        (TZ4, "0", "SigningVersion0 is not supported for BLS keys"),
        (TZ5, "0", "SigningVersion0 is not supported for ML-DSA-44 keys"),
        (TZ5, "1", "SigningVersion1 is not supported for ML-DSA-44 keys"),
        (TZ5, "2", "SigningVersion2 is not supported for ML-DSA-44 keys"),
    ],
)
async def test_a_version_the_family_lacks_is_400_and_leaves_no_mark(
    pkh: str, version: str, text: str
) -> None:
    async with serving() as running:
        reply = await running.sign(pkh, attestation(7, payload=1), f"?version={version}")
        again = await running.sign(pkh, attestation(7, payload=2))
    assert (reply.status, reply.message, again.status) == (400, text, 200)


async def test_versions_one_and_two_are_different_bls_signatures() -> None:
    async with serving() as running:
        texts = [
            (await running.sign(TZ4, TRANSACTION, query)).body for query in ("?version=1", "?version=2", "")
        ]
    assert texts[0] != texts[1] == texts[2]


async def test_client_signatures_are_missing_wrong_or_right() -> None:
    signed = CLIENT.sign(client_bytes(PublicKeyHash.parse(TZ1), TRANSACTION))
    right = Signature(KeyType.ED25519, signed).text
    generic = Signature(None, signed).text
    wrong = Signature(KeyType.ED25519, bytes(64)).text
    other = Signature(KeyType.ED25519, CLIENT.sign(client_bytes(PublicKeyHash.parse(TZ2), TRANSACTION))).text
    async with serving(server=AUTHORIZED) as running:
        replies = {
            text: await running.sign(TZ1, TRANSACTION, f"?authentication={text}" if text else "")
            for text in ("", "edsigNonsense", wrong, other, right, generic)
        }
        unlisted = await running.sign(UNKNOWN, TRANSACTION)
        metrics = await running.metrics()
    assert [reply.status for reply in replies.values()] == [401, 400, 403, 403, 200, 200]
    assert replies[""].message == "missing authentication signature field"
    assert replies[wrong].message == replies[other].message == "invalid authentication signature"
    assert unlisted.status == 401  # who asks comes before what is listed
    assert (
        'authentication_failure_total{auth_method="authentication",client_ip="127.0.0.1",status="401"} 2\n'
        in metrics
    )


async def test_authorized_keys_are_hashes_or_nothing() -> None:
    async with serving(server=AUTHORIZED) as running:
        reply = await running.ask("GET", "/authorized_keys")
    async with serving() as running:
        nothing = await running.ask("GET", "/authorized_keys")
    assert reply.body == f'{{"authorized_keys":["{CLIENT_KEY.id}"]}}\n'.encode()
    assert nothing.body == b"{}\n"


async def test_known_keys_are_listed_only_where_the_configuration_says_so() -> None:
    async with serving() as running:
        refused = await running.ask("GET", "/known_keys")
    tezos = f"  {TZ4}:\n  {TZ1}: {{}}"
    async with serving(server="  allow_list_known_keys: true", tezos=tezos) as running:
        listed = await running.ask("GET", "/known_keys")
    assert refused.status == 403
    assert listed.body == f'{{"known_keys":["{TZ4}","{TZ1}"]}}\n'.encode()


async def test_requests_from_web_pages_are_refused_where_the_configuration_says_so() -> None:
    body = json.dumps(TRANSACTION.hex()).encode()
    async with serving(server="  refuse_origin: true") as running:
        assert (await running.ask("POST", f"/keys/{TZ1}", body, "Origin: http://evil\r\n")).status == 403
        assert (await running.ask("GET", f"/keys/{TZ1}", None, "origin: null\r\n")).status == 403
        assert (await running.ask("POST", f"/keys/{TZ1}", body)).status == 200
    async with serving() as running:
        assert (await running.ask("POST", f"/keys/{TZ1}", body, "Origin: http://page\r\n")).status == 200


async def test_a_proof_of_possession_has_its_own_checks() -> None:
    allowed = "{allow_proof_of_possession: true}"
    tezos = f"  {TZ1}: {EVERYTHING}\n  {TZ4}: {allowed}"
    async with serving(tezos=tezos) as running:
        proof = await running.ask("GET", f"/bls_prove_possession/{TZ4}")
        other_family = await running.ask("GET", f"/bls_prove_possession/{TZ1}")
        unlisted = await running.ask("GET", f"/bls_prove_possession/{TZ2}")
    async with serving(tezos=f"  {TZ4}: {EVERYTHING}") as running:
        not_allowed = await running.ask("GET", f"/bls_prove_possession/{TZ4}")
    text = Signature(KeyType.BLS, PAIRS[KeyType.BLS].prove()).text
    assert proof.body == f'{{"bls_prove_possession":"{text}"}}\n'.encode()
    assert (other_family.status, other_family.message) == (400, "proof of possession is not supported")
    assert (not_allowed.status, not_allowed.message) == (400, "proof of possession is not allowed")
    assert (unlisted.status, unlisted.message) == (403, f"{TZ2} is not listed in config")


async def test_a_proof_of_possession_asks_for_the_client_signature_over_nothing() -> None:
    empty = CLIENT.sign(client_bytes(PublicKeyHash.parse(TZ4), b""))
    query = f"?authentication={Signature(KeyType.ED25519, empty).text}"
    async with serving(server=AUTHORIZED, tezos=f"  {TZ4}: {{allow_proof_of_possession: true}}") as running:
        assert (await running.ask("GET", f"/bls_prove_possession/{TZ4}")).status == 401
        assert (await running.ask("GET", f"/bls_prove_possession/{TZ4}{query}")).status == 200


async def test_the_public_key_of_an_unlisted_key_is_shown() -> None:
    async with serving(tezos=f"  {TZ1}:") as running:
        reply = await running.ask("GET", f"/keys/{TZ2}")
    shown = PublicKey(KeyType.SECP256K1, PAIRS[KeyType.SECP256K1].public).text
    assert reply.body == f'{{"public_key":"{shown}"}}\n'.encode()


async def test_a_double_signing_is_409_with_one_text() -> None:
    async with serving() as running:
        first = await running.sign(TZ1, attestation(5, payload=1))
        same = await running.sign(TZ1, attestation(5, payload=1))
        conflict = await running.sign(TZ1, attestation(5, payload=2))
        other_form = await running.sign(TZ1, attestation(5, payload=1, dal=True))
        metrics = await running.metrics()
    assert (first.status, first.body) == (same.status, same.body)
    assert (conflict.status, conflict.message) == (409, "watermark validation failed")
    assert other_form.status == 409
    assert f'vault_sign_request_error_total{{chain_id="{CHAIN}",code="409",vault="Scripted"}} 2\n' in metrics
    assert (
        'watermark_operations_total{backend="mem",request_type="attestation",result="success"} 2\n' in metrics
    )
    assert (
        'watermark_operations_total{backend="mem",request_type="attestation_with_dal",result="rejected"} 1\n'
        in metrics
    )
    assert (
        f'consensus_round_total{{address="{TZ1}",chain_id="{CHAIN}",operation_type="attestation",'
        'round="0"} 2\n' in metrics
    )


async def test_a_request_id_comes_in_and_goes_out_and_reaches_the_vault() -> None:
    vault = ScriptedVault(*PAIRS.values())
    body = json.dumps(TRANSACTION.hex()).encode()
    async with serving(vault) as running:
        own = await running.ask("POST", f"/keys/{TZ1}", body, "X-Request-Id: bake-17\r\n")
        bad = await running.ask("POST", f"/keys/{TZ1}", body, "X-Request-Id: a b\r\n")
        long = await running.ask("POST", f"/keys/{TZ1}", body, f"X-Request-Id: {'a' * 129}\r\n")
        missing = await running.ask("GET", "/nothing")
        health = await running.ask("GET", "/healthz", None, "X-Request-Id: probe\r\n", utility=True)
    ids = [reply.headers["x-request-id"] for reply in (own, bad, long, missing, health)]
    assert (ids[0], ids[4], len(set(ids))) == ("bake-17", "probe", 5)
    assert "a b" not in ids
    assert [call.request_id for call in vault.calls] == ids[:3]
    assert vault.calls[0].timeout == 30.0


async def test_the_daemon_is_ready_only_while_its_vaults_are() -> None:
    vault = ScriptedVault()
    async with serving(vault) as running:
        assert (await running.ask("GET", "/healthz", utility=True)).body == b'{"ready":true}\n'
        vault.state = Readiness(ready=False, reason="no enclave")
        reply = await running.ask("GET", "/healthz", utility=True)
        assert (reply.status, reply.body) == (503, b'{"ready":false}\n')
        assert (await running.ask("POST", "/healthz", b"", utility=True)).status == 405
        assert (await running.ask("GET", "/keys", utility=True)).status == 404


async def test_metrics_have_the_names_and_labels_of_the_reference() -> None:
    async with serving() as running:
        await running.sign(TZ1, TRANSACTION)
        metrics = await running.metrics()
        packed = await running.ask("GET", "/metrics", None, "Accept-Encoding: gzip\r\n", utility=True)
    labels = f'address="{TZ1}",chain_id="",kind="transaction",op="generic",vault="Scripted"'
    line = f"signing_ops_total{{{labels}}} 1\n"
    assert line in metrics
    assert f'sign_handler_requests_total{{address="{TZ1}",status="200"}} 1\n' in metrics
    assert 'le="100000"' in metrics
    assert "process_resident_memory_bytes" in metrics
    assert "signatory_build_info{" in metrics
    assert "_created" not in metrics
    assert packed.headers["content-encoding"] == "gzip"


async def test_no_secret_and_no_payload_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as running:
        await running.sign(TZ1, TRANSACTION)
    texts = [record.getMessage() for record in caplog.records]
    wanted = [
        "Signing version: 2",
        "Requesting signing operation",
        "Signed generic successfully",
        f"POST /keys/{TZ1}",
    ]
    assert [text for text in texts if text in wanted] == wanted
    (access,) = [vars(record)["fields"] for record in caplog.records if record.name == "signatory.access"]
    assert isinstance(access["duration"], Duration)
    assert access["duration"] > 0
    everything = " ".join(str(vars(record)) for record in caplog.records)
    assert TRANSACTION.hex() not in everything
    assert PAIRS[KeyType.ED25519].secret.hex() not in everything


async def test_payloads_are_logged_where_the_key_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tezos = f"  {TZ1}: {{log_payloads: true, allow: {{generic: [transaction]}}}}"
    async with serving(tezos=tezos) as running:
        await running.sign(TZ1, TRANSACTION)
    (record,) = [record for record in caplog.records if record.getMessage() == "About to sign raw bytes"]
    assert vars(record)["fields"]["raw"] == TRANSACTION.hex()


async def test_ten_conflicting_requests_at_once_give_exactly_one_signature() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault) as running:
        replies = await asyncio.gather(*(running.sign(TZ1, attestation(9, payload=row)) for row in range(10)))
    assert sorted(reply.status for reply in replies) == [200, *[409] * 9]
    assert len(vault.signed) == 1


def _der(numbers: tuple[int, int]) -> bytes:
    parts = b"".join(b"\x02" + bytes([len(one)]) + one for one in (_integer(number) for number in numbers))
    return b"\x30" + bytes([len(parts)]) + parts


def _integer(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
