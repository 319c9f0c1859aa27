"""What this enclave says of a key when it is made or brought here, and the NSM's word for who said it.

Source: signatory.nitro.birth.
"""

from enclave_signer import documents, nsm
from enclave_signer.sealing import Sealed
from signatory.crypto.keypair import KeyPair
from signatory.nitro.birth import Origin, Statement, encode


async def certify(
    module: nsm.Nsm,
    sealed: Sealed,
    pair: KeyPair,
    origin: Origin,
    nonce: bytes | None,
    release: str,
    now_ms: int,
) -> tuple[bytes, bytes]:
    """The statement, and the attestation document with its SHA-256 as user_data and the caller's nonce.

    `now_ms` is milliseconds since 1970. Raises AttestationError: the key has no certified birth then.
    """
    statement = Statement(
        key_type=pair.type,
        public=pair.public,
        wrapped=sealed.blob,
        kms_key=sealed.kms_key,
        created_at=now_ms,
        wrap=sealed.scheme,
        origin=origin,
        purpose=pair.purpose,
        user_id=sealed.name.user_id,
        release=release,
        version=sealed.name.version,
    )
    document = await documents.make(module, user_data=statement.digest(), nonce=nonce)
    return encode(statement), document
