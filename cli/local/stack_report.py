"""What the stack tells: dev.json for programs, a table with a line to try for people."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.local import state
from cli.local.layout import Layout
from cli.local.stack_keys import KINDS
from signatory.nitro.sealed import Scheme

_BRANCH = bytes(32)
_TEXT = b"signed by a laptop enclave, NOT GENUINE"


@dataclass(frozen=True, slots=True)
class Result:
    """What dev.json holds."""

    address: str
    utility_address: str
    keys: Mapping[str, str]
    config: str
    kms_key_arn: str
    enclave_address: str

    def save(self, layout: Layout) -> None:
        """Raises UnavailableError."""
        state.write_json(layout.result, asdict(self))


def failing_noop(text: bytes) -> bytes:
    """A generic operation that no chain ever applies: watermark 3, a branch, failing_noop with its text."""
    return b"\x03" + _BRANCH + b"\x11" + len(text).to_bytes(4, "big") + text


def curl_line(address: str, key: str) -> str:
    """A command that signs; the answer is the signature."""
    body = shlex.quote(f'"{failing_noop(_TEXT).hex()}"')
    return f"curl -sS http://{address}/keys/{key} -H 'Content-Type: application/json' -d {body}"


def verify_line(layout: Layout, kind: str) -> str:
    """A command that proves, offline, where the key of that kind was born; to be run in this folder."""
    attestation, metadata = layout.certificate(kind)
    files = {"birth-attestation": attestation, "metadata": metadata, "manifest": layout.releases}
    program = Path(sys.executable).with_name("signatory-cli")
    words = [f"--{name} {_typed(path)}" for name, path in files.items()]
    return " ".join([f"{_typed(program)} attest verify", *words])


def _typed(path: Path) -> str:
    """As one types it in a shell of this folder, by the shorter way."""
    relative = os.path.relpath(path)
    named = relative if os.sep in relative else f"{os.curdir}{os.sep}{relative}"
    return shlex.quote(min(named, str(path), key=len))


def table(result: Result, layout: Layout, pcr0: bytes) -> str:
    """The text for a person at a terminal."""
    keys = [f"  {kind}  {key}  {KINDS[kind].value}" for kind, key in result.keys.items()]
    places = {
        "API": f"http://{result.address}",
        "utility": f"http://{result.utility_address} (/healthz, /metrics)",
        "files": f"{layout.base} (logs in {layout.logs.name}/)",
        "configuration": result.config,
        "KMS key": result.kms_key_arn,
        "PCR0": pcr0.hex(),
    }
    width = max(map(len, places))
    return "\n".join(
        [
            "The laptop stack is ready. NOT GENUINE: its keys protect nothing of value.",
            "",
            *keys,
            "",
            *(f"  {name:<{width}}  {place}" for name, place in places.items()),
            "",
            "Sign something (a failing_noop, which no chain ever applies):",
            "",
            f"  {curl_line(result.address, result.keys['tz1'])}",
            *_births(layout, result.keys),
            "",
            "Ctrl-C stops everything; the next start brings the same keys back.",
        ]
    )


def _births(layout: Layout, keys: Mapping[str, str]) -> list[str]:
    """How to verify the first key that has a birth certificate, and which have none."""
    certified = [kind for kind in keys if layout.certificate(kind)[0].exists()]
    others = [kind for kind in keys if kind not in certified]
    lines = []
    if certified:
        first = certified[0]
        lines += ["", f"Verify where the {first} key was born:", "", f"  {verify_line(layout, first)}"]
    if others:
        lines += [
            "",
            f"Made by an earlier release, and so without births: {', '.join(others)}.",
            f"New keys here are sealed by {Scheme.KMS_ENCRYPT.value}, as those are; see docs/laptop.md.",
        ]
    return lines
