"""Whose signed answers count, and what such an answer must show. Source: signatory-compat §9."""

import hmac
from collections.abc import Sequence
from http.client import responses

from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import Verifier
from signatory.errors import DeniedError, IntegrityError, MalformedError
from signatory.hook.wire import Reply, shown
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature

STATUS_DIFFERS = "the policy hook reply status must match the HTTP header"
NONCE_DIFFERS = "nonce mismatch"
NOT_KNOWN = "public key not found"
NOT_SIGNED = "invalid hook reply signature"

_HINT = "`policy_hook.authorized_keys` makes every answer of the hook a signed one; see its own log"
_KEY_HINT = "`policy_hook.authorized_keys` must have the key that the hook signs with"


class Approvers:
    """The keys that may sign an answer, prepared once. Raises MalformedError for what is not a key."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._known: dict[str, tuple[KeyType, Verifier]] = {
            key.hash.text: (key.type, Verifier(key.type, key.data, Purpose.TEZOS)) for key in keys
        }

    def judge(self, body: bytes, status: int, reason: str, nonce: bytes) -> None:
        """Return where the answer allows. Raises DeniedError, IntegrityError.

        `status` and `reason` are the HTTP answer's own. The order of the checks is Signatory's.
        """
        try:
            reply = Reply.parse(body)
        except MalformedError as error:
            raise IntegrityError(f"policy hook: {error}", hint=_HINT) from None
        if reply.status != status:
            raise IntegrityError(STATUS_DIFFERS, hint=_HINT)
        if not hmac.compare_digest(reply.nonce, nonce):
            raise DeniedError(NONCE_DIFFERS, hint="the answer is to another question; ask again")
        self._check_signature(reply)
        check_status(status, reply.error or reason)

    def _check_signature(self, reply: Reply) -> None:
        try:
            address = PublicKeyHash.parse(reply.public_key_hash).text
        except MalformedError:
            raise DeniedError("policy hook: the reply names no public key hash", hint=_HINT) from None
        if address not in self._known:
            raise DeniedError(NOT_KNOWN, hint=_KEY_HINT)
        try:
            signature = Signature.parse(reply.signature)
        except MalformedError:
            raise IntegrityError("policy hook: the reply has no signature", hint=_HINT) from None
        key_type, verifier = self._known[address]
        if signature.type not in {None, key_type} or not verifier.verify(reply.payload, signature.data):
            raise DeniedError(NOT_SIGNED, hint=_KEY_HINT)


def check_status(status: int, words: str) -> None:
    """Return for 2xx. Raises DeniedError for 4xx, which is a no; IntegrityError for what is neither."""
    if 200 <= status < 300:
        return
    text = f"policy hook: {shown(words) or status_line(status, '')}"
    if 400 <= status < 500:
        raise DeniedError(text)
    if 300 <= status < 400:
        raise IntegrityError(text, hint="redirects are not followed; write the last address in `policy_hook`")
    raise IntegrityError(text, hint="the hook answered neither yes (2xx) nor no (4xx); see its own log")


def status_line(status: int, reason: str) -> str:
    """`403 Forbidden`; the usual words where the hook sent none."""
    return f"{status} {reason or responses.get(status, '')}".rstrip()
