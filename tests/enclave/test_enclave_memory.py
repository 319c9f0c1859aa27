"""What many loaded keys cost a process, measured in one of its own."""

import subprocess
import sys

import pytest

LIMIT = 40_000_000
"""Bytes that 1,000 keys may cost."""

PROGRAM = """
import asyncio, gc, os, sys
from enclave_signer.data_keys import DataKeys
from enclave_signer.keychain import Keychain
from enclave_signer.kms import DataKey, Rights
from enclave_signer.sealing import Sealer
from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import generate
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import Scheme
from signatory.nitro.sigv4 import AccessKey

class Kms:
    key = Arn.parse("arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
    rights = Rights(AccessKey("a", "b"))
    def allows(self, key):
        return key == self.key
    async def generate_data_key(self, context):
        return DataKey(bytes(32), b"wrapped", self.key)
    async def decrypt(self, wrapped, *, key, context):
        return bytes(32)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    sealer, keychain = Sealer(Kms(), DataKeys(), tuple(Scheme)), Keychain(2000)
    async def load(count):
        for _ in range(count):
            pair = generate(KeyType(sys.argv[1]), Purpose.RAW, os.urandom)
            made = await sealer.seal(pair, Scheme.KMS_ENVELOPE)
            keychain.add(await sealer.unseal(made.name, made.scheme, made.blob))
    await load(50)
    before = resident()
    await load(1000)
    print(resident() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("family", ["ed25519", "p256", "bls", "mldsa87"])
def test_a_thousand_keys_cost_no_more_than_40_megabytes(family: str) -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, family], capture_output=True, check=True, env={}, cwd="/"
    )
    assert int(said.stdout) < LIMIT
