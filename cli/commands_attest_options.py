"""The values of the options of `attest`: registers, hex, times."""

import re
from datetime import UTC, datetime

import click

from signatory.nitro.attestation import PCR_COUNT, PCR_LENGTH

NOW = "now"
DOCUMENT = "document"

_PCR = re.compile(rf"([0-9]{{1,2}})=([0-9A-Fa-f]{{{2 * PCR_LENGTH}}})")
_LAST = 253_402_300_799  # the end of the year 9999


def pcrs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[int, bytes]:
    """From `N=HEX`, each register once."""
    found: dict[int, bytes] = {}
    for value in values:
        match = _PCR.fullmatch(value)
        if match is None or int(match[1]) >= PCR_COUNT:
            raise click.BadParameter(
                f"N=HEX was expected, N from 0 to {PCR_COUNT - 1}, HEX of {2 * PCR_LENGTH} digits",
                context,
                parameter,
            )
        if int(match[1]) in found:
            raise click.BadParameter(f"PCR{int(match[1])} is given twice", context, parameter)
        found[int(match[1])] = bytes.fromhex(match[2])
    return found


def octets(context: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
    """From hex digits; an empty text is an unset variable more often than a wish."""
    if value is None:
        return None
    if not re.fullmatch(r"([0-9A-Fa-f]{2})+", value):
        raise click.BadParameter("hex digits of at least one byte were expected", context, parameter)
    return bytes.fromhex(value)


def moment(context: click.Context, parameter: click.Parameter, value: str) -> datetime | None:
    """`now`, `document` (None), or seconds since 1970."""
    if value == DOCUMENT:
        return None
    if value == NOW:
        return datetime.now(UTC)
    if re.fullmatch(r"[0-9]{1,12}", value) and int(value) <= _LAST:
        return datetime.fromtimestamp(int(value), UTC)
    raise click.BadParameter("now, document, or seconds since 1970 were expected", context, parameter)
