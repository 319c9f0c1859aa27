"""What changes at random make of attestation documents: nothing that verifies, no foreign error."""

import random

import pytest
from nitro_chain import CHAIN, NOW, a_document, signed, verify
from nitro_mutations import Original, genuine, ours, scrambled, try_all

from signatory.errors import MalformedError
from signatory.nitro.attestation import AttestationError

ORIGINALS = [*genuine(), ours()]
SEEDS = range(10)
LIMIT = 0.05
"""Seconds of processor that no verification may take, the best of several tries."""


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda original: original.name)
def test_no_change_to_a_document_verifies(original: Original) -> None:
    outcome = try_all([original], 10_000 // len(ORIGINALS), seed=1)
    assert outcome.tried > 1000


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_change_of_a_million_to_a_document_verifies(seed: int) -> None:
    count = 1_000_000 // len(SEEDS) // len(ORIGINALS)
    outcome = try_all(ORIGINALS, count, seed=1000 + seed)
    assert outcome.tried == count * len(ORIGINALS)
    assert outcome.slowest < LIMIT


def test_a_tag_in_front_changes_nothing_and_is_no_forgery() -> None:
    assert verify(b"\xd2" + signed()) == a_document()


def test_no_change_to_a_certificate_verifies_even_where_the_leaf_signs_again() -> None:
    rng = random.Random(5)  # noqa: S311  the same changes in every run
    for _ in range(2000):
        at = rng.randrange(len(CHAIN.certificates))
        changed = [*CHAIN.certificates]
        changed[at] = scrambled(changed[at], rng)
        if changed[at] in {b"", CHAIN.certificates[at]} or len(changed[at]) > 1024:
            continue
        data = signed(cabundle=tuple(changed[:-1]), certificate=changed[-1])
        with pytest.raises((AttestationError, MalformedError)):
            verify(data, at=NOW)
