"""The registers (PCRs) of an enclave's image as they are written in a configuration."""

import re
from collections.abc import Mapping
from typing import Any

from signatory.config.problems import Findings
from signatory.config.problems import Path as Place
from signatory.nitro.attestation import IMAGE_PCRS, PCR_COUNT, PCR_LENGTH, ZERO, Registers

_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * PCR_LENGTH}}}")


def read_registers(value: Any) -> Registers | None:
    """`{0: HEX, 1: HEX, 2: HEX, 8: HEX}`. Raises Findings, a ValueError, that names every wrong entry."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of register numbers to hex digits")  # noqa: TRY004  # pydantic's contract
    found: dict[int, bytes] = {}
    bad: list[tuple[Place, str]] = []
    for key, text in value.items():
        index = _index(key)
        if index is None or index in found:
            bad.append(((key,), f"must be the number of a register, from 0 to {PCR_COUNT - 1}, each once"))
        elif not isinstance(text, str) or not _HEX.fullmatch(text):
            bad.append(((key,), f"must be {2 * PCR_LENGTH} hex digits; write them in quotes"))
        else:
            found[index] = bytes.fromhex(text)
    if bad:
        raise Findings(bad)
    return found


def check_registers(registers: Registers, *, allow_debug: bool) -> None:
    """Raises Findings for registers that would let more than one image pass, or a debug enclave."""
    if missing := [index for index in IMAGE_PCRS if index not in registers]:
        names = ", ".join(f"PCR{index}" for index in missing)
        raise Findings(
            # PCR8 alone would allow everything that was ever signed with one certificate
            [(("expected_pcrs",), f"lacks {names}: only PCR0, PCR1 and PCR2 together name one image")]
        )
    zero = [index for index, value in sorted(registers.items()) if value == ZERO]
    if zero and not allow_debug:
        text = "zeros are the register of any debug enclave; measure the image, or set allow_debug for tests"
        raise Findings([(("expected_pcrs", str(index)), text) for index in zero])


def _index(key: Any) -> int | None:
    text = str(key)
    known = not isinstance(key, bool) and text.isascii() and text.isdigit() and text == str(int(text))
    return int(text) if known and int(text) < PCR_COUNT else None
