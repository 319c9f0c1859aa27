"""The keys of one session, each under a handle that never changes hands."""

from signatory.crypto.keypair import KeyPair
from signatory.errors import DeniedError, NotFoundError


class Keychain:
    """Handles count up from 0; nothing is ever removed, and the same key twice has two handles."""

    def __init__(self, limit: int) -> None:
        self._pairs: list[KeyPair] = []
        self._limit = limit

    def __len__(self) -> int:
        return len(self._pairs)

    def check_room(self) -> None:
        """Raises DeniedError when no further key fits; asked before the work of getting one."""
        if len(self._pairs) >= self._limit:
            raise DeniedError(f"this session already holds {self._limit} keys, its limit")

    def add(self, pair: KeyPair) -> int:
        """The new key's handle. Raises DeniedError."""
        self.check_room()
        self._pairs.append(pair)
        return len(self._pairs) - 1

    def find(self, handle: int) -> KeyPair:
        """Raises NotFoundError with the reference's text."""
        if not 0 <= handle < len(self._pairs):
            raise NotFoundError("invalid handle")
        return self._pairs[handle]

    def clear(self) -> None:
        """Forget every key."""
        self._pairs.clear()
