"""Sign requests from Octez, Taquito, Netezos, tzgo and Signatory are read as their origin says."""

import json
from pathlib import Path
from typing import Any

import pytest

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.tezos import base58
from signatory.tezos.requests import SignRequest, parse

FILE = Path(__file__).resolve().parents[2] / "../shared/vectors/tezos_requests.json"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the shared vectors are not beside the repository")

OWN = {"stake", "unstake", "finalize_unstake", "set_delegate_parameters"}


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["requests"] if FILE.exists() else []
    return found


def read(row: dict[str, Any]) -> SignRequest | None:
    version = SigningVersion.V1 if row["version"] == "1" else SigningVersion.LATEST
    try:
        return parse(bytes.fromhex(row["hex"]), version)
    except MalformedError:
        return None


def expected(row: dict[str, Any]) -> tuple[str, ...]:
    """The kinds as we report them: the file calls transactions to staking entrypoints transactions."""
    entrypoints = row.get("entrypoints") or [None] * len(row["ops"] or ())
    return tuple(
        entry if kind == "transaction" and entry in OWN else kind
        for kind, entry in zip(row["ops"] or (), entrypoints, strict=True)
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row["id"]))
def test_a_request_is_read_as_its_origin_says(row: dict[str, Any]) -> None:
    request = read(row)
    if row["expect"] == "reject":
        assert request is None
    if row["expect"] != "accept":
        return
    assert request is not None
    assert request.kind == row["kind"]
    assert tuple(name.partition(":")[0] for name in request.operations) == expected(row)
    if "chain" in row:
        assert request.chain_id == base58.encode(b"\x57\x52\x00", bytes.fromhex(row["chain"]))
        assert request.level == row["level"]
        assert request.round == row.get("round", request.round)
