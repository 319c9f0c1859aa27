"""`signatory-cli bench`."""

import asyncio
import json
from pathlib import Path

import click

from signatory.files import replace_durably

MAX_CLIENTS = 1000
"""As many connections as the daemon takes."""


@click.command(help="Measure this machine: a bare handler beside the daemon over every vault, in one run.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1, 600), help="One load.")
@click.option("--clients", default="1,16,64", show_default=True, help="Numbers of keep-alive clients.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 99), help="The median counts.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here as JSON.")
def bench(seconds: float, clients: str, rounds: int, json_path: Path | None) -> None:
    """Run the bench and print its tables."""
    from cli.bench import report, run  # noqa: PLC0415  # other commands need not load the servers

    try:
        counts = [int(text) for text in clients.split(",")]
    except ValueError:
        counts = [0]
    if not all(1 <= count <= MAX_CLIENTS for count in counts):
        what = f"numbers from 1 to {MAX_CLIENTS}, separated by commas"
        raise click.BadParameter(what, param_hint="--clients")
    result = asyncio.run(run.bench(seconds, counts, rounds, lambda text: click.echo(f"  {text}", err=True)))
    if json_path is not None:
        replace_durably(json_path, json.dumps(result.as_json(), indent=2).encode() + b"\n")
    click.echo(report.markdown(result))
