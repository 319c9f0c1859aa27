"""What a client signs to prove who it is. Source: Octez remote signer, Signatory pkg/signatory/utils.go."""

from signatory.tezos.keys import PublicKeyHash

AUTHENTICATED_REQUEST = b"\x04\x01"
"""Magic byte and version of an authenticated signing request; no request that we sign begins with them."""


def client_bytes(pkh: PublicKeyHash, message: bytes) -> bytes:
    """The bytes a client signs with its own key so that `message` is signed with the key `pkh`.

    Layout: 04, 01, tag of the hash (0 for tz1 to 4 for tz5), the 20 bytes of the hash, the message, which is
    empty for a proof of possession. `pkh` is the key that is to sign, never the client's.
    """
    return AUTHENTICATED_REQUEST + bytes((pkh.tag,)) + pkh.data + message
