"""An emulated DynamoDB for the tests: one process, a fresh table for whoever asks."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signatory.net import aws
from signatory.net.aws import AwsCredentials, Waits
from signatory.net.dynamodb import Patience, TableSettings

CREDENTIALS = AwsCredentials("AKIDEXAMPLE", "a-secret-of-no-use", None)
REGION = "eu-west-1"
SLOW_MACHINE = Patience(work=60, waits=Waits(connect=20, read=20))
"""Where a test is not about deadlines: a busy machine must not fail it."""


@dataclass(frozen=True)
class Emulated:
    """Where it listens."""

    endpoint: str

    def settings(self, table: str = "", *, create: bool = True) -> TableSettings:
        """A table of this name, else one that nobody else has."""
        return TableSettings(
            table or f"watermark-{uuid.uuid4().hex[:12]}", REGION, self.endpoint, CREDENTIALS, create
        )

    def client(self) -> Any:
        """A plain client, to look and to put things there past our code; close it."""
        return aws.client(
            "dynamodb", credentials=CREDENTIALS, region=REGION, endpoint=self.endpoint, waits=Waits(20, 20)
        )


@contextmanager
def emulated() -> Iterator[Emulated]:
    """Run it until the end of the block."""
    script = Path(__file__).with_name("moto_process.py")
    with subprocess.Popen(
        [sys.executable, "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            said = process.stdout.readline()
            assert said.startswith("listening on "), said
            yield Emulated(said.removeprefix("listening on ").strip())
        finally:
            process.kill()
