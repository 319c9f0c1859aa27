"""Sealers inside this process, between the real software NSM and the real KMS emulator."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
from emulators import ACCESS, KEY_ARN, KEY_ID
from enclave_cloud import Cloud

from cli.local import kms_blob
from enclave_signer import nsm
from enclave_signer.data_keys import DataKeys
from enclave_signer.kms import KmsSession
from enclave_signer.recipients import Recipients
from enclave_signer.roots import tls_context
from enclave_signer.route import Route, Tries
from enclave_signer.sealing import Sealer
from enclave_signer.settings import load
from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import KeyPair, generate
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import KeyName, Scheme
from signatory.nitro.sigv4 import AccessKey
from signatory.tezos.keys import PublicKey

SECOND_ID = "5678abcd-12ab-34cd-56ef-1234567890ab"
SECOND_ARN = KEY_ARN.replace(KEY_ID, SECOND_ID)
ALL = tuple(Scheme)
RECORDS = (Scheme.KMS_GDK, Scheme.KMS_ENVELOPE)


@asynccontextmanager
async def kms_session(
    cloud: Cloud, folder: Path, *, key: str = KEY_ARN, access: AccessKey = ACCESS, **changed: Any
) -> AsyncIterator[KmsSession]:
    """A session as the program makes one; both keys are allowed."""
    file = cloud.write_settings(folder / "session.toml", **{"kms_key_arns": [KEY_ARN, SECOND_ARN]} | changed)
    settings = load(file)
    recipients = Recipients()
    recipients.start()
    module, tls = nsm.open_nsm(settings.nsm), tls_context(settings.roots)
    named = Arn.parse(key)
    route = Route.to(named, settings, module, recipients, tls, Tries())
    made = KmsSession(named, settings.kms_keys, access, route)
    try:
        yield made
    finally:
        made.close()
        await recipients.close()


@asynccontextmanager
async def sealer(
    cloud: Cloud,
    folder: Path,
    *,
    schemes: Collection[Scheme] = ALL,
    data_keys: DataKeys | None = None,
    **changed: Any,
) -> AsyncIterator[Sealer]:
    """One session's sealer, of a process of its own unless `data_keys` says otherwise."""
    async with kms_session(cloud, folder, **changed) as kms:
        yield Sealer(kms, data_keys or DataKeys(), schemes)


def pair_of(key_type: KeyType, purpose: Purpose = Purpose.RAW) -> KeyPair:
    return generate(key_type, purpose, os.urandom)


def material(cloud: Cloud, key_id: str = KEY_ID) -> bytes:
    """The secret of a KMS key of the emulator."""
    key = cloud.state.find_key(key_id)
    assert key is not None
    return key.material


def minted(cloud: Cloud, plaintext: bytes, context: dict[str, str], key_id: str = KEY_ID) -> bytes:
    """What KMS Encrypt gives to whoever may call it."""
    return kms_blob.seal(key_id, material(cloud, key_id), plaintext, context, os.urandom(12))


def named(pair: KeyPair) -> KeyName:
    """The name of a first version without a tenant."""
    return KeyName(PublicKey(pair.type, pair.public).id, pair.type, pair.purpose, pair.public)


def changed(blob: bytes, **fields: object) -> bytes:
    """The record with these fields replaced, `f12=...` the field 12, in deterministic form."""
    found = cbor2.loads(blob)
    found |= {int(name[1:]): value for name, value in fields.items()}
    return cbor2.dumps({number: found[number] for number in sorted(found)})
