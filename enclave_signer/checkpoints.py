"""How far each checkpoint key has come since the program started: no checkpoint is signed below another one.

Kept in memory only: a new enclave knows nothing of an old one's checkpoints, whoever holds them does.
"""

from signatory.errors import DeniedError
from signatory.nitro.checkpoint import Checkpoint

MOST = 10_000
"""Keys that are remembered. None is forgotten for another: that would let its sequence go back."""


class Checkpoints:
    """The highest checkpoint of each key, for all sessions of the program."""

    def __init__(self, most: int = MOST) -> None:
        self._highest: dict[bytes, Checkpoint] = {}
        self._most = most

    def advance(self, public: bytes, checkpoint: Checkpoint) -> None:
        """Take the checkpoint as the key's highest; the same one again is no step back.

        Raises DeniedError for a lower sequence, for another digest at the same one, and for a key too many.
        """
        last = self._highest.get(public)
        if last is None and len(self._highest) >= self._most:
            raise DeniedError(f"this enclave already remembers {self._most} checkpoint keys, its limit")
        if last is not None and checkpoint.sequence < last.sequence:
            raise DeniedError(
                f"the checkpoint {checkpoint.sequence} is below {last.sequence}, which this key has signed"
            )
        if last is not None and checkpoint.sequence == last.sequence and checkpoint != last:
            raise DeniedError(f"this key has signed another checkpoint {last.sequence}")
        self._highest[public] = checkpoint
