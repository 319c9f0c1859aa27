"""The tables of the bench, as text for people."""

from cli.bench.run import Report

_HEAD = """\
| server | key | clients | per second | p50 ms | p99 ms | bare per second | p50 | p99 | of bare | not 200 |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def markdown(report: Report) -> str:
    """The whole report as Markdown tables."""
    lines = [
        f"{report.machine}; Python {report.python}; {report.seconds:g} s a load, median of {report.rounds}.",
        "",
        _HEAD,
    ]
    for row in report.rows:
        one, bare = row.measured, row.bare
        failed = one.failed + bare.failed
        lines.append(
            f"| {row.name} | {row.key} | {one.clients} | {one.rate:,.0f} | {one.p50:.2f} | {one.p99:.2f} "
            f"| {bare.rate:,.0f} | {bare.p50:.2f} | {bare.p99:.2f} | {row.ratio:.2f} | {failed} |"
        )
    lines += ["", "| at the vault seam | sign per second | verify per second |", "|---|---:|---:|"]
    lines += [f"| {name} | {two['sign']:,.0f} | {two['verify']:,.0f} |" for name, two in report.seam.items()]
    lines += ["", "| fact | value |", "|---|---:|"]
    lines += [f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in report.facts.items()]
    return "\n".join(lines) + "\n"
