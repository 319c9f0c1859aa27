"""Why a request would be signed or not: what was read, what every rule says, which one decides.

Pure: no vault, no mark, no lock, and never a signature. The command line and the API answer the same value.
"""

from dataclasses import dataclass
from typing import Any

from signatory.crypto.curves import SigningVersion
from signatory.crypto.keypair import check_version
from signatory.errors import DeniedError
from signatory.policy.rules import admission, afterwards, allowing, decided, judgement
from signatory.policy.values import Client, Decision, Outcome, Policy, Verdict
from signatory.tezos import requests
from signatory.tezos.keys import PublicKeyHash
from signatory.tezos.operations import Operation
from signatory.tezos.requests import SignRequest

GRAMMAR = "version"
"""The rule that the grammar a client chose reads nothing that the current one reads differently."""

SHOWN = 256
"""Operations that are told one by one; a batch may hold more."""

JSON_END = 2**63
"""Numbers from here on are told as hexadecimal text: no amount of Tezos is that large."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The request as it was read, every rule's outcome in order, and the decision that follows from them."""

    key: str
    version: SigningVersion
    client: Client
    request: SignRequest
    outcomes: tuple[Outcome, ...]
    decision: Decision

    @property
    def allowed(self) -> bool:
        """Whether no rule that can be judged without state refuses the request."""
        return self.decision.allowed

    def as_json(self) -> dict[str, Any]:
        """What `POST /keys/{pkh}?dry_run=1` and `policy explain --json` answer; see docs/policy.md."""
        return {
            "allowed": self.allowed,
            "rule": self.decision.rule,
            "message": self.decision.message,
            "key": self.key,
            "version": version_name(self.version),
            "client": {
                "source": self.client.source,
                "key": self.client.key_hash,
                "user": self.client.user,
            },
            "request": _request(self.request),
            "rules": [
                {"rule": outcome.rule, "outcome": outcome.verdict.value, "text": outcome.text}
                for outcome in self.outcomes
            ],
        }


def explain(policy: Policy, pkh: str, message: bytes, version: SigningVersion, client: Client) -> Explanation:
    """Judge a request as the signer would, up to what needs state: hook, rate, level step, watermark, vault.

    Raises MalformedError for bytes that are no request, and for a version that the key cannot sign with.
    """
    key = policy.keys.get(pkh)
    trailing = key is not None and key.allow_trailing_bytes
    request = requests.parse(message, version, allow_trailing=trailing)
    grammar = _grammar(message, version, allow_trailing=trailing)
    if not grammar.refused:  # to the signer, whether the grammars agree comes first
        check_version(PublicKeyHash.parse(pkh).type, version)
    found = (
        *admission(policy, pkh, client),
        grammar,
        *judgement(policy, pkh, request, client),
        *afterwards(policy, pkh, request),
    )
    return Explanation(pkh, version, client, request, found, decided(found, allowing(request)))


def version_name(version: SigningVersion) -> str:
    """`0`, `1`, `2` or `latest`."""
    return "latest" if version is SigningVersion.LATEST else str(version.value)


def _grammar(message: bytes, version: SigningVersion, *, allow_trailing: bool) -> Outcome:
    """What `understood` adds to `parse`, as a rule: the two readings of version 1 must agree."""
    try:
        if version is SigningVersion.V1:
            requests.understood(message, version, allow_trailing=allow_trailing)
    except DeniedError as error:
        return Outcome(GRAMMAR, Verdict.REFUSED, str(error))
    return Outcome(GRAMMAR, Verdict.PASSED)


def _request(request: SignRequest) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "chain_id": request.chain_id,
        "level": request.level,
        "round": request.round,
        "operation_count": len(request.operations),
        "operations": [_operation(operation) for operation in request.contents[:SHOWN]],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    return {
        "kind": operation.kind,
        "source": operation.source,
        "fee": _number(operation.fee),
        "amount": _number(operation.amount),
        "amount_unknown": operation.amount_unknown,
        "destinations": list(operation.destinations),
    }


def _number(number: int | None) -> int | str | None:
    return number if number is None or number < JSON_END else hex(number)
