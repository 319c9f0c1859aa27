"""Third-party vectors, where they lie beside the checkout."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2] / "../shared/vectors"

Rows = Iterator[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def wycheproof() -> Callable[[str], Rows]:
    """The name of a file, without `wycheproof_` and `_test.json` -> its pairs of group and test."""

    def rows(name: str) -> Rows:
        path = VECTORS / f"wycheproof_{name}_test.json"
        if not path.exists():
            pytest.skip("the third-party vectors are not beside the checkout (../shared/vectors)")
        for group in json.loads(path.read_text("utf-8"))["testGroups"]:
            for row in group["tests"]:
                yield group, row

    return rows
