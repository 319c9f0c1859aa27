"""What the suites of the stores share."""

from collections.abc import Iterator

import pytest
from dynamodb import Emulated, emulated


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Emulated]:
    """One emulator for the whole run, started by the first test that wants it."""
    with emulated() as running:
        yield running
