"""The tables of the bench, as text for people."""

from cli.bench.run import Report

_HEAD = """\
| server | key | clients | per second | p50 ms | p99 ms | bare per second | p50 | p99 | of bare | not 200 |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


_MARKS = """\
| attestations: clients | in files per second | p50 | p99 ms | in memory | p50 | p99 | of memory | not 200 |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


_STORES = """\
| slowed disk in | sync ms | its p99 | marks per second, 1 task | 64 tasks | gain | p99 ms | p99 in syncs |
|---|---:|---:|---:|---:|---:|---:|---:|"""


_MANY = """\
| keys (kms-envelope-v1, KMS 5 ms away) | seconds until all sign | calls to KMS | enclave, MB more |
|---:|---:|---:|---:|"""


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
    lines += _marks(report)
    lines += ["", _MANY]
    lines += [
        f"| {one.keys:,} | {one.seconds:.1f} | {one.kms_calls} | {one.enclave_megabytes:.1f} |"
        for one in report.many
    ]
    lines += ["", "| fact | value |", "|---|---:|"]
    lines += [f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in report.facts.items()]
    return "\n".join(lines) + "\n"


def _marks(report: Report) -> list[str]:
    found = report.marks
    lines = ["", _MARKS]
    for clients, memory, file in found.http:
        failed = memory.failed + file.failed
        lines.append(
            f"| {clients} | {file.rate:,.0f} | {file.p50:.2f} | {file.p99:.2f} | {memory.rate:,.0f} "
            f"| {memory.p50:.2f} | {memory.p99:.2f} | {file.rate / memory.rate:.2f} | {failed} |"
        )
    lines += ["", _STORES]
    lines += [
        f"| {one.place} | {1000 * one.sync:.2f} | {1000 * one.sync_p99:.2f} | {one.alone_per_second:,.0f} "
        f"| {one.together_per_second:,.0f} | {one.gain:.1f} "
        f"| {1000 * one.together_p99:.2f} | {one.syncs_p99:.2f} |"
        for one in found.stores
    ]
    return [*lines, "", f"Decode and judge one transaction: {1e6 * found.judged:.1f} µs."]
