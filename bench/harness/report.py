"""Tables, Markdown and the chart."""

import statistics
from html import escape
from pathlib import Path

from .cases import CASES, CHARTED, CLIENTS, PEERS, REQUIREMENTS, Case, Limit, Metric, Requirement, Surplus

# results[case][peer] is the list of the runs' figures.
Results = dict[str, dict[str, list[dict[str, float]]]]


def title_of(case: Case, peer: str) -> str:
    return (CLIENTS if case.load == "client" else PEERS)[peer].title


def values(results: Results, case: str, peer: str, metric: Metric) -> list[float]:
    return [run[metric.key] for run in results.get(case, {}).get(peer, []) if metric.key in run]


def median(results: Results, case: str, peer: str, metric: Metric) -> float | None:
    found = values(results, case, peer, metric)
    return statistics.median(found) if found else None


def show(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.1f} k"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}"


def rows(results: Results, case: Case) -> list[list[str]]:
    """A row for each peer: for every metric the median, its spread and its ratio to the reference peer's."""
    table = []
    for peer in case.peers:
        if not results.get(case.name, {}).get(peer):
            continue
        row = [title_of(case, peer)]
        for metric in case.metrics:
            found = values(results, case.name, peer, metric)
            reference = median(results, case.name, case.reference, metric)
            if not found:
                row += ["-", "-", "-"]
                continue
            middle = statistics.median(found)
            spread = f"{show(min(found))} - {show(max(found))}"
            ratio = f"{middle / reference:.2f}" if reference else "-"
            row += [show(middle), spread, ratio]
        table.append(row)
    return table


def header(case: Case) -> list[str]:
    heads = ["peer"]
    for metric in case.metrics:
        heads += [metric.title, "spread", "ratio"]
    return heads


def plain_table(heads: list[str], table: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [heads, *table]) for i in range(len(heads))]
    lines = []
    for line in [heads, *table]:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(heads: list[str], table: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(line) + " |" for line in table]
    return "\n".join(lines)


def judge(results: Results) -> list[list[str]]:
    """What rill must show, as far as it was measured."""
    table = []
    for wanted in REQUIREMENTS:
        case = CASES[wanted.case]
        mine = median(results, wanted.case, wanted.peer, wanted.metric)
        what = f"{case.title}: {wanted.metric.title}, {title_of(case, wanted.peer)}"
        other = None if isinstance(wanted, Limit) else median(results, wanted.case, wanted.other, wanted.metric)
        if mine is None or (other is None and not isinstance(wanted, Limit)):
            continue
        if isinstance(wanted, Requirement):
            ratio = mine / other
            met = ratio >= wanted.bound if wanted.at_least else ratio <= wanted.bound
            table.append([f"{what} / {title_of(case, wanted.other)}",
                          f"{'>=' if wanted.at_least else '<='} {wanted.bound:.2f}", f"{ratio:.3f}",
                          "yes" if met else "no"])
        elif isinstance(wanted, Surplus):
            table.append([f"{what} - {title_of(case, wanted.other)}", f"<= {show(wanted.bound)}",
                          show(mine - other), "yes" if mine - other <= wanted.bound else "no"])
        else:
            table.append([what, f"<= {show(wanted.bound)}", show(mine), "yes" if mine <= wanted.bound else "no"])
    return table


JUDGE_HEADS = ["what", "wanted", "measured", "met"]

COLOURS = {"rill": "#1f6feb", "rill-uncorked": "#388bfd", "rill-each": "#79b8ff", "plain": "#8b949e", "hint": "#6e7681",
           "hint-once": "#57606a", "callback": "#b08800", "tonic": "#cf6a32", "grpc-go": "#2da89c"}


def svg(results: Results) -> str:
    """Bars for the charted cases: one panel a case, one bar a peer, the median written at its end."""
    bar, gap, head, left, width = 16, 4, 26, 230, 760
    parts: list[str] = []
    y = 10
    for name in CHARTED:
        case = CASES[name]
        metric = case.metrics[0]
        bars = [(peer, value) for peer in case.peers if (value := median(results, name, peer, metric)) is not None]
        if not bars:
            continue
        better = "more is better" if metric.higher_is_better else "less is better"
        parts.append(f'<text x="10" y="{y + 14}" class="head">{escape(case.title)}: {escape(metric.title)}, '
                     f'{better}</text>')
        y += head
        largest = max(value for _, value in bars) or 1
        for peer, value in bars:
            length = max(1.0, value / largest * (width - left - 90))
            parts.append(f'<text x="{left - 8}" y="{y + 12}" class="label">{escape(title_of(case, peer))}</text>')
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" fill="{COLOURS[peer]}"/>')
            parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 12}" class="value">{show(value)}</text>')
            y += bar + gap
        y += 14
    style = ("text{font:12px sans-serif;fill:#57606a}.head{font-weight:bold}.label{text-anchor:end}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}">\n'
            f"<style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n")


def markdown(results: Results, micro: dict[str, list[float]], versions: dict[str, str], machine: str,
             seconds: float) -> str:
    runs = max((len(found) for peers in results.values() for found in peers.values()), default=0)
    lines = [
        "# Benchmarks",
        "",
        "Written by `scripts/bench`, which anyone can run. Every case runs its peers in turn within one session, the "
        "server on one core and the load on another; with two loops they share two. A figure is the median of its runs, "
        "with the lowest and the highest beside it, and its ratio to the peer that the case is compared with, which has "
        "1.00. CPU is that of the whole process, from `/proc/PID/stat`, for one call or message. "
        "[Performance](performance.md) says what the figures mean and where the time goes.",
        "",
        "- *Hand-written*: gRPC's completion queues used directly, with 100 requests posted for each method. *Hinting*: with "
        "gRPC's buffer hint where another message is known to follow.",
        "- *Callback API*: gRPC's reactors. *Corking off*: rill without `server_options::corking`.",
        "- *Bare HTTP/2 load*: a load that frames and counts bytes and does no more, so that the server is what is measured; "
        "where it is not said, streams are read and written by a hand-written gRPC client, which may be the slower side.",
        "- *A complex message*: nested and repeated fields, maps and strings. *Flood*: both sides write as fast as they can. "
        "A time of a second and more in the ping-pong beside a stream means: not before the run ended.",
        "",
        f"Machine: {machine}. Up to {runs} runs of {seconds:g} s each. "
        + ", ".join(f"{name} {version}" for name, version in versions.items() if version) + ".",
        "",
        "![The main cases as a chart](benchmarks.svg)",
        "",
    ]
    judged = judge(results)
    if judged:
        lines += ["## What rill is held to", "", markdown_table(JUDGE_HEADS, judged), ""]
    lines += ["## Cases", ""]
    for name, case in CASES.items():
        table = rows(results, case)
        if table:
            lines += [f"### {case.title}", "", markdown_table(header(case), table), ""]
    if micro:
        lines += [f"## {MICRO_TITLE}", "", markdown_table(MICRO_HEADS, micro_rows(micro)), ""]
    return "\n".join(lines)


MICRO_TITLE = "The toolkit beside Asio, and messages on arenas"
MICRO_HEADS = ["benchmark", "ns, median", "spread"]


def micro_rows(micro: dict[str, list[float]]) -> list[list[str]]:
    return [[name, f"{statistics.median(found):.1f}", f"{min(found):.1f} - {max(found):.1f}"]
            for name, found in micro.items()]


def write(results: Results, micro: dict[str, list[float]], versions: dict[str, str], machine: str, seconds: float,
          folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(markdown(results, micro, versions, machine, seconds))
    (folder / "benchmarks.svg").write_text(svg(results))
