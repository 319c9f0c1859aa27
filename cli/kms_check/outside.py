"""The calls of those who must not open the key: the gateway's role, and the parent's without an enclave."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.kms_check.aws import ALLOWED, DENIED, DENIED_BY_POLICY, Caller
from cli.kms_check.probe import Probe
from cli.kms_check.rows import Row
from signatory.nitro.kms import Arn

_TRIAL = b"kms-check"


def gateway(caller: Caller, key: Arn, probe: Probe) -> Iterator[Row]:
    """A role that has no business with the key: whatever refuses it will do."""
    yield _decrypt(caller, key, probe, DENIED)
    yield _generate(caller, key, probe.context, DENIED)
    yield _encrypt(caller, key, {}, DENIED)


def parent(caller: Caller, key: Arn, probe: Probe, *, kms_encrypt_v0: bool) -> Iterator[Row]:
    """The enclave's own role without a document: the key's policy must refuse it, by an explicit deny.

    PutKeyPolicy and ScheduleKeyDeletion are not tried: they know no dry run, and would do harm where they are
    allowed. `kms-policy simulate` judges them.
    """
    yield _decrypt(caller, key, probe, DENIED_BY_POLICY)
    yield _generate(caller, key, probe.context, DENIED_BY_POLICY)
    yield _encrypt(caller, key, {}, ALLOWED if kms_encrypt_v0 else DENIED_BY_POLICY)
    yield _encrypt(caller, key, probe.context or {"key_id": "kms-check"}, DENIED_BY_POLICY)
    in_context: dict[str, Any] = {"KeyId": str(key), "EncryptionContext": dict(probe.context)}
    pair = in_context | {"KeyPairSpec": "ECC_NIST_P256"}
    trials: dict[str, dict[str, Any]] = {
        "generate_data_key_without_plaintext": in_context | {"KeySpec": "AES_256"},
        "generate_data_key_pair": pair,
        "generate_data_key_pair_without_plaintext": pair,
        "re_encrypt": {
            "CiphertextBlob": probe.ciphertext,
            "SourceKeyId": str(key),
            "SourceEncryptionContext": dict(probe.context),
            "DestinationKeyId": str(key),
        },
        "create_grant": {
            "KeyId": str(key),
            "GranteePrincipal": f"arn:{key.partition}:iam::{key.account}:root",
            "Operations": ["Decrypt"],
        },
    }
    for operation, members in trials.items():
        call = "".join(word.capitalize() for word in operation.split("_"))
        yield caller.row(f"{call}, dry run", operation, DENIED_BY_POLICY, **members, DryRun=True)


def contexts(caller: Caller, key: Arn, probe: Probe) -> Iterator[Row]:
    """Without a document no context helps; a missing one is refused as the right one is."""
    for words, context in (
        ("no context", {}),
        ("the right context", dict(probe.context)),
        ("a wrong context", {name: f"{value}-wrong" for name, value in probe.context.items()}),
    ):
        yield _decrypt(caller, key, Probe(probe.ciphertext, context), DENIED_BY_POLICY, f", {words}")
    yield _generate(caller, key, {}, DENIED_BY_POLICY)


def _decrypt(caller: Caller, key: Arn, probe: Probe, expected: str, words: str = "") -> Row:
    return caller.row(
        f"Decrypt without Recipient{words}",
        "decrypt",
        expected,
        KeyId=str(key),
        CiphertextBlob=probe.ciphertext,
        EncryptionContext=dict(probe.context),
    )


def _generate(caller: Caller, key: Arn, context: Mapping[str, str], expected: str) -> Row:
    return caller.row(
        f"GenerateDataKey without Recipient{'' if context else ', no context'}",
        "generate_data_key",
        expected,
        KeyId=str(key),
        KeySpec="AES_256",
        EncryptionContext=dict(context),
    )


def _encrypt(caller: Caller, key: Arn, context: Mapping[str, str], expected: str) -> Row:
    return caller.row(
        f"Encrypt{' in a context' if context else ''}",
        "encrypt",
        expected,
        KeyId=str(key),
        Plaintext=_TRIAL,
        EncryptionContext=dict(context),
    )
