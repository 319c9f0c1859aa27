"""What the stack tells: dev.json for programs, a table with a line to try for people."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cli.local import state
from cli.local.layout import Layout
from cli.local.stack_keys import KINDS

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
    """A command that proves, offline, where the key of that kind was born."""
    attestation, metadata = layout.certificate(kind)
    files = {"birth-attestation": attestation, "metadata": metadata, "manifest": layout.releases}
    words = [f"--{name} {shlex.quote(str(path))}" for name, path in files.items()]
    return " ".join(["signatory-cli attest verify", *words])


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
    """How to verify the first key that has a birth certificate; keys of earlier releases have none."""
    certified = [kind for kind in keys if layout.certificate(kind)[0].exists()]
    if not certified:
        return []
    return [
        "",
        f"Verify where the {certified[0]} key was born:",
        "",
        f"  {verify_line(layout, certified[0])}",
    ]
