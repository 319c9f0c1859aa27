"""A client of the extended protocol in front of a scripted enclave."""

from fake_extended import Asked, ScriptedEnclave

from signatory.crypto.curves import KeyType
from signatory.net.vsock import Address
from signatory.rpc.messages import Sign, Signed
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.negotiation import Protocol, connect


async def connected(enclave: ScriptedEnclave, patience: float = 60) -> ExtendedClient:
    address = Address("unix", str(enclave.path))
    client = await connect(address, 30, Protocol.EXTENDED, once_extended=True)
    assert isinstance(client, ExtendedClient)
    client._patience = patience
    return client


async def sign(client: ExtendedClient, message: bytes, within: float = 60) -> bytes:
    found = await client.call(Sign(0, message), Signed, within, key_type=KeyType.ED25519)
    return found.signature


def hold(_asked: Asked) -> None:
    """Answer later, or never."""
