"""A client of the extended protocol in front of a scripted enclave."""

from unittest.mock import patch

from fake_extended import Asked, ScriptedEnclave

from signatory.crypto.curves import KeyType
from signatory.net.vsock import Address
from signatory.rpc.messages import Sign, Signed
from vaults.nitro import channel
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.negotiation import Protocol, connect


async def connected(enclave: ScriptedEnclave, patience: float = 60) -> ExtendedClient:
    """With as many places for calls that sign as the scripted enclave names for those that wait for KMS."""
    address = Address("unix", str(enclave.path))
    with patch.object(channel, "AT_ONCE", enclave.in_flight):
        client = await connect(address, 30, Protocol.EXTENDED, once_extended=True)
    assert isinstance(client, ExtendedClient)
    client._patience = patience
    return client


async def sign(client: ExtendedClient, message: bytes, within: float = 60) -> bytes:
    found = await client.call(Sign(0, message), Signed, within, key_type=KeyType.ED25519)
    return found.signature


def hold(_asked: Asked) -> None:
    """Answer later, or never."""
