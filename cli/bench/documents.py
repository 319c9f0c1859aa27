"""What one attestation document costs to verify: five certificates, six signatures of P-384."""

import tempfile
import time
from pathlib import Path

from cli.local import nsm_chain
from cli.local.faults import Faults
from cli.local.nsm_device import Device, Identity, utc_now
from signatory.nitro import attestation, certchain, nsm


def verifying(seconds: float) -> float:
    """Seconds for one document of the software NSM, with the chain and the size of a genuine one."""
    with tempfile.TemporaryDirectory() as folder:
        root = nsm_chain.open_root(Path(folder), utc_now())
    document = _document(root)
    pinned = certchain.fingerprint(root.der)
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        attestation.verify(document, root_sha256=pinned)
        count += 1
    return (now - start) / count


def _document(root: nsm_chain.Signer) -> bytes:
    registers = {index: bytes([index + 1]) * attestation.PCR_LENGTH for index in (0, 1, 2)}
    identity = Identity("xx-laptop-1", "i-0123456789abcdef0", "i-0123456789abcdef0-enc0123456789abcdef")
    device = Device(root, identity, registers, utc_now, Faults())
    request = nsm.Attestation(user_data=bytes(32), nonce=bytes(32), public_key=bytes(32))
    return nsm.decode_reply(request, device.answer(nsm.encode_request(request)))
