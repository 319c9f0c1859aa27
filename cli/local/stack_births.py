"""The birth certificates of the keys that a laptop stack shows, as the files that `attest verify` reads."""

from cli.local import state
from cli.local.layout import Layout
from signatory.files import private_folder, replace_durably
from signatory.nitro import birth
from signatory.nitro.birth_metadata import metadata_of
from signatory.vault import Certified, Vault


def save(layout: Layout, vault: Vault, kind: str, key: str) -> None:
    """KIND.attestation and KIND.json; neither where the key has no certificate.

    Raises MalformedError for a stored statement that is none, UnavailableError.
    """
    private_folder(layout.births)
    attestation, metadata = layout.certificate(kind)
    store: object = vault
    stored = store.birth(key) if isinstance(store, Certified) else None
    if stored is None:
        attestation.unlink(missing_ok=True)
        metadata.unlink(missing_ok=True)
    else:
        replace_durably(attestation, stored.attestation)
        state.write_json(metadata, metadata_of(birth.decode(stored.statement)))
