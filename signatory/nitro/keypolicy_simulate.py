"""Every call that a key policy must allow and every one it must refuse, decided offline, a row for each.

What is seen is the key policy alone. A row is good only where no doubt is left: a call that must be allowed
is, whatever the statements mean that are not understood; one that must be refused is refused all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signatory.nitro import keypolicy_cases
from signatory.nitro.keypolicy import Reading, Verdict, evaluate
from signatory.nitro.keypolicy_cases import Case, Due
from signatory.nitro.keypolicy_statements import Statement, parse
from signatory.nitro.keypolicy_subject import Subject, context_keys_of, images_of, role_of

UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Row:
    """One call and what the policy makes of it."""

    case: Case
    verdict: str
    """A value of Due, or `unclear` where it hangs on what is not understood or not seen here."""
    statement: str | None
    """The one that decides, None where none speaks of the call."""

    @property
    def expected(self) -> str:
        return self.case.due.value

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected or (
            self.case.due is Due.REFUSED and self.verdict == Due.DENIED.value
        )

    def as_json(self) -> Mapping[str, Any]:
        return {
            "action": self.case.action,
            "caller": self.case.caller,
            "principal": self.case.principal,
            "call": self.case.situation,
            "expected": self.expected,
            "verdict": self.verdict,
            "statement": self.statement,
            "as_expected": self.as_expected,
        }


def subject_of(
    policy: Any,
    *,
    role: str | None = None,
    images: Sequence[Mapping[int, bytes]] = (),
    context_keys: Sequence[str] = (),
    kms_encrypt_v0: bool = False,
    key: str | None = None,
) -> Subject:
    """Whom the policy must let in: as given, the rest as the policy itself says. Raises ConfigError."""
    return Subject(
        role or role_of(policy),
        tuple(images) or images_of(policy),
        tuple(context_keys) or context_keys_of(policy),
        kms_encrypt_v0,
        key,
    )


def simulate(policy: Any, subject: Subject) -> tuple[Row, ...]:
    """All rows. Raises MalformedError for a policy that cannot be read."""
    statements = parse(policy)
    return tuple(_row(statements, case, subject.key) for case in keypolicy_cases.cases(subject))


def _row(statements: tuple[Statement, ...], case: Case, key: str | None) -> Row:
    """Allowed as soon as one form of the call surely is; refused where none could be."""
    verdicts = list(_verdicts(statements, case, key))
    for sure, _ in verdicts:
        if sure.allowed:
            return Row(case, Due.ALLOWED.value, sure.statement_id)
    for _, widest in verdicts:
        if widest.allowed:
            return Row(case, UNCLEAR, widest.statement_id)
    denied = all(widest.explicit_deny for _, widest in verdicts)
    return Row(case, (Due.DENIED if denied else Due.REFUSED).value, verdicts[0][1].statement_id)


def _verdicts(
    statements: tuple[Statement, ...], case: Case, key: str | None
) -> Iterator[tuple[Verdict, Verdict]]:
    """Of each form of the call: the verdict where doubt refuses, and where it allows."""
    for context in case.contexts:
        sure, widest = (
            evaluate(
                statements,
                case.action,
                case.principal,
                context,
                resource=key,
                reading=reading,
                untold=case.untold,
            )
            for reading in (Reading.DOUBT_REFUSES, Reading.DOUBT_ALLOWS)
        )
        yield sure, widest
