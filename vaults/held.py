"""Keys in this process's own memory: what the drivers that hold them in the clear have in common."""

from collections.abc import Iterable

from signatory.crypto.curves import SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import MalformedError, NotFoundError
from signatory.tezos.keys import PublicKey
from signatory.vault import VaultKey


def vault_key(pair: KeyPair, reference: str = "") -> VaultKey:
    """The public side of a pair."""
    return VaultKey(PublicKey(pair.type, pair.public), pair.purpose, reference)


class HeldKeys:
    """Key pairs by identifier, in the order they came."""

    def __init__(self, pairs: Iterable[KeyPair] = ()) -> None:
        self._keys: dict[str, tuple[VaultKey, KeyPair]] = {}
        for pair in pairs:
            key = vault_key(pair)
            self._keys.setdefault(key.id, (key, pair))

    def __len__(self) -> int:
        return len(self._keys)

    def list(self) -> tuple[VaultKey, ...]:
        return tuple(key for key, _ in self._keys.values())

    def add(self, pair: KeyPair) -> VaultKey:
        """Raises MalformedError for a key that is there."""
        key = vault_key(pair)
        if key.id in self._keys:
            raise MalformedError(f"{key.id} is already in this vault")
        self._keys[key.id] = (key, pair)
        return key

    def sign(self, key: VaultKey, message: bytes, version: SigningVersion) -> bytes:
        """Sign here and now: no family needs as much as a millisecond or two. Raises NotFoundError."""
        return self._pair(key).sign(message, version)

    def prove(self, key: VaultKey, over: bytes | None = None) -> bytes:
        """The proof of possession of a BLS key, over itself or another key.

        Raises NotFoundError, MalformedError.
        """
        return self._pair(key).prove(over)

    def _pair(self, key: VaultKey) -> KeyPair:
        found = self._keys.get(key.id)
        if found is None or found[0].purpose is not key.purpose:
            raise NotFoundError(f"{key.id} is not in this vault")
        return found[1]
