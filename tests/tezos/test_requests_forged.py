"""What pytezos forges is read as what it was asked to forge."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.tezos.requests import parse, understood

FOLDER = Path(__file__).parent / "forged"
ROWS: list[dict[str, Any]] = json.loads((FOLDER / "operations.json").read_text("utf-8"))["rows"]
GROUPS = [row for row in ROWS if "operations" in row]
CONSENSUS = [row for row in ROWS if "kind" in row]


def read(message: bytes) -> list[list[Any]]:
    return [
        [each.kind, each.source, each.fee, each.amount, list(each.destinations)]
        for each in parse(message).contents
    ]


def test_the_file_has_every_kind_that_is_forged() -> None:
    assert len(GROUPS) == 400
    kinds = {operation[0] for row in GROUPS for operation in row["operations"]}
    assert len(kinds) == 17, kinds


@pytest.mark.parametrize("at", range(0, len(GROUPS), 20))
def test_a_forged_group_is_read_as_it_was_meant(at: int) -> None:
    for row in GROUPS[at : at + 20]:
        message = bytes.fromhex(row["message"])
        assert read(message) == row["operations"]
        assert not any(operation.amount_unknown for operation in parse(message).contents)


@pytest.mark.parametrize("at", range(0, len(GROUPS), 20))
def test_a_forged_group_means_the_same_under_version_1_or_is_refused(at: int) -> None:
    for row in GROUPS[at : at + 20]:
        message = bytes.fromhex(row["message"])
        try:
            assert understood(message, SigningVersion.V1) == parse(message)
        except MalformedError:
            continue


def test_forged_consensus_operations_keep_kind_level_and_round() -> None:
    for row in CONSENSUS:
        request = parse(bytes.fromhex(row["message"]))
        assert (request.kind, request.level, request.round) == (row["kind"], row["level"], row["round"])


def test_pytezos_still_forges_what_the_file_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytezos", reason="pytezos has no wheels for all it needs and is not in the lock")
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "make", raising=False)
    import make  # type: ignore[import-not-found]  # noqa: PLC0415 - only where pytezos is

    assert make.rows() == ROWS
