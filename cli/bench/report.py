"""The tables of the bench, as text for people."""

from cli.bench.run import Report

_HEAD = """\
| server | key | clients | per second | p50 ms | p99 ms | of bare | not 200 |
|---|---|---:|---:|---:|---:|---:|---:|"""


def markdown(report: Report) -> str:
    """The whole report as Markdown tables."""
    lines = [
        f"{report.machine}; Python {report.python}; {report.seconds:g} s a load, median of {report.rounds}.",
        "",
        _HEAD,
    ]
    for row in report.rows:
        one = row.measured
        lines.append(
            f"| {row.name} | {row.key} | {one.clients} | {one.rate:,.0f} | {one.p50:.2f} | {one.p99:.2f} "
            f"| {row.ratio:.2f} | {one.failed} |"
        )
    lines += ["", "| at the vault seam | sign per second | verify per second |", "|---|---:|---:|"]
    lines += [f"| {name} | {two['sign']:,.0f} | {two['verify']:,.0f} |" for name, two in report.seam.items()]
    lines += ["", "| fact | value |", "|---|---:|"]
    lines += [f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in report.facts.items()]
    return "\n".join(lines) + "\n"
