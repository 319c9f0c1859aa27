"""`policy explain`: what the policy of a key says of one request. Nothing is opened, nothing is signed."""

import json
from collections.abc import Iterator
from typing import Any

import click

from cli import asking
from cli.options import HELP, Settings, global_options, settings
from signatory.config import load as config
from signatory.config.load import policy_of
from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError, SignatoryError
from signatory.limits import LIMITS
from signatory.policy.explain import Explanation, explain
from signatory.policy.values import Client, Policy
from signatory.tezos.keys import PublicKeyHash

VERSIONS = {
    "0": SigningVersion.V0,
    "1": SigningVersion.V1,
    "2": SigningVersion.V2,
    "3": SigningVersion.LATEST,
}


def _hash(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else PublicKeyHash.parse(value).text
    except SignatoryError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.group(context_settings=HELP)
@global_options
def policy() -> None:
    """Ask what the policy in the configuration decides."""


@policy.command("explain", context_settings=HELP)
@click.argument("pkh", callback=_hash)
@click.argument("request", metavar="HEX")
@click.option("--client", metavar="PKH", callback=_hash, help="Hash of the key that signed the request.")
@click.option("--user", metavar="NAME", help="User who logged in.")
@click.option("--source", metavar="IP", default="127.0.0.1", help="Address of the client.")
@click.option("--version", type=click.Choice(list(VERSIONS)), help="As in the query; the latest unless told.")
@click.option("--json", "as_json", is_flag=True, help="Print what a dry run over HTTP answers.")
@global_options
def explain_request(
    pkh: str,
    request: str,
    client: str | None,
    user: str | None,
    source: str,
    version: str | None,
    *,
    as_json: bool,
) -> int:
    """Read a request and say what every rule of the key PKH makes of it; exit code 1 when it is refused.

    HEX is the message with its first byte, as in the body of POST /keys/PKH; `-` reads it from a pipe.
    """
    found = explain(
        _policy(settings()),
        pkh,
        _message(request),
        VERSIONS.get(version or "", SigningVersion.LATEST),
        Client(source, client, user),
    )
    click.echo(json.dumps(found.as_json(), indent=4) if as_json else "\n".join(_lines(found)))
    return 0 if found.allowed else 1


def _policy(given: Settings) -> Policy:
    return policy_of(
        config.load(given.config, base_dir=given.base_dir, allow_unknown=given.allow_unknown_keys)
    )


def _message(text: str) -> bytes:
    if text == "-":
        text = asking.read_pipe().decode("ascii", "replace")
    text = text.strip()
    if len(text) > LIMITS.body:
        raise MalformedError(f"the request is longer than the {LIMITS.body} characters that the daemon reads")
    try:
        return bytes.fromhex(text)
    except ValueError:
        hint = "give the bytes of the message, with the first, two digits each; `-` reads them from a pipe"
        raise MalformedError("the request is not hexadecimal", hint=hint) from None


def _lines(found: Explanation) -> Iterator[str]:
    told = found.as_json()
    request = told["request"]
    yield f"Request: {request['kind']}"
    for label, name in (("Chain", "chain_id"), ("Level", "level"), ("Round", "round")):
        if request[name] is not None:
            yield f"{label}: {request[name]}"
    for operation in request["operations"]:
        yield from _operation(operation)
    left_out = request["operation_count"] - len(request["operations"])
    if left_out:
        yield f"({left_out} more operations)"
    yield "Rules:"
    width = max(len(rule["rule"]) for rule in told["rules"])
    for rule in told["rules"]:
        yield f"    {rule['rule']:<{width}}  {rule['outcome']:<15}{rule['text']}".rstrip()
    message = f": {told['message']}" if told["message"] else ""
    yield f"Decision: {'allowed' if found.allowed else 'refused'} by {told['rule']}{message}"


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"Operation: {operation['kind']}"
    rows = [("source", operation["source"])]
    rows += [("destination", destination) for destination in operation["destinations"]]
    rows += [(name, f"{operation[name]} mutez") for name in ("amount", "fee") if operation[name] is not None]
    if operation["amount_unknown"]:
        rows.append(("amount", "cannot be read"))
    for name, value in rows:
        if value is not None:
            yield f"    {name:<12} {value}"
