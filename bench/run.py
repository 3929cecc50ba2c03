#!/usr/bin/env python3
"""Measures rill beside its peers; see --help. scripts/bench calls this."""

import argparse
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import build as building  # noqa: E402
from harness import report  # noqa: E402
from harness.cases import CASES, CLIENTS, PEERS, QUICK, REQUIREMENTS, Case  # noqa: E402
from harness.measure import BenchError, Machine, run_once  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures rill beside its peers and writes docs/benchmarks.md and .svg.",
        epilog="cases: " + ", ".join([*CASES, "micro"]) + ". peers: " + ", ".join(PEERS) + ".")
    parser.add_argument("--case", action="append", metavar="NAME",
                        help="measure this case only (repeatable; a name that ends in * matches a prefix)")
    parser.add_argument("--peers", metavar="A,B", help="only these peers")
    parser.add_argument("--runs", type=int, help="runs of each peer in each case (5; with --quick 2)")
    parser.add_argument("--seconds", type=float, help="measured seconds a run (3; with --quick 1)")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before them (1)")
    parser.add_argument("--quick", action="store_true", help="a few cases, briefly: shows that everything works")
    parser.add_argument("--required", action="store_true",
                        help="only the cases that tell whether rill is as fast as it must be")
    parser.add_argument("--keep", action="store_true",
                        help="keep the stored results of the cases that are not measured now")
    parser.add_argument("--output", type=Path,
                        help="folder for benchmarks.md and benchmarks.svg (docs, or build/bench for a partial run)")
    parser.add_argument("--jobs", type=int, default=2, help="compiler processes (2)")
    parser.add_argument("--no-build", action="store_true", help="measure what is built already")
    options = parser.parse_args()
    options.runs = options.runs or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    return options


def chosen_cases(options: argparse.Namespace) -> tuple[list[Case], bool]:
    """The cases to run, and whether the micro-benchmarks are among them."""
    names = list(QUICK) if options.quick else [*CASES, "micro"]
    if options.required:
        names = [name for name in CASES if name in {wanted.case for wanted in REQUIREMENTS}]
    if options.case:
        names = []
        for wanted in options.case:
            found = [name for name in [*CASES, "micro"]
                     if name == wanted or (wanted.endswith("*") and name.startswith(wanted[:-1]))]
            if not found:
                raise SystemExit(f"bench: no case is called {wanted} (see --help)")
            names += found
    return [CASES[name] for name in names if name != "micro"], "micro" in names


def machine_line() -> str:
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    cores = len(re.findall(r"^processor", text, re.MULTILINE))
    return f"{model.group(1) if model else platform.machine()}, {cores} cores, Linux {platform.release()}"


class Session:
    def __init__(self, options: argparse.Namespace, programs: dict[str, Path]) -> None:
        self.options = options
        self.programs = programs
        self.machine = Machine()
        self.results: report.Results = {}
        self.micro: dict[str, list[float]] = {}
        self.failures: list[str] = []

    def peers_of(self, case: Case) -> list[str]:
        known = CLIENTS if case.load == "client" else PEERS
        wanted = self.options.peers.split(",") if self.options.peers else list(known)
        return [peer for peer in case.peers if peer in wanted and known[peer].program in self.programs]

    def run_once(self, case: Case, peer: str, rate: float = 0) -> dict[str, float] | None:
        try:
            return run_once(case, peer, self.programs, self.machine, self.options.seconds, self.options.warmup, rate)
        except BenchError as failure:
            self.failures.append(f"{case.name}, {peer}: {failure}")
            print(f"bench: {self.failures[-1]}", file=sys.stderr, flush=True)
            return None

    def rate_for(self, case: Case, peers: list[str]) -> float:
        """A share of the capacity of the slowest peer, which is measured now if it was not."""
        unary = CASES["unary"]
        rates = []
        for peer in peers:
            known = report.median(self.results, "unary", peer, unary.metrics[0])
            if known is None:
                measured = self.run_once(unary, peer)
                known = measured["rate"] if measured else None
            if known is not None:
                rates.append(known)
        return round(min(rates) * case.share_of_capacity) if rates else 0

    def run_case(self, case: Case) -> None:
        peers = self.peers_of(case)
        if not peers:
            return
        rate = self.rate_for(case, peers) if case.share_of_capacity else 0
        if case.share_of_capacity and not rate:
            return
        found: dict[str, list[dict[str, float]]] = {peer: [] for peer in peers}
        for _ in range(self.options.runs):
            for peer in peers:
                result = self.run_once(case, peer, rate)
                if result is not None:
                    found[peer].append(result)
        self.results[case.name] = {peer: runs for peer, runs in found.items() if runs}
        print(f"\n{case.title}" + (f" ({rate:.0f} calls/s)" if rate else ""))
        print(report.plain_table(report.header(case), report.rows(self.results, case)), flush=True)
        self.store()

    def run_micro(self) -> None:
        """Google Benchmark's own repetitions, the programs in turn."""
        self.micro = {}
        for _ in range(self.options.runs):
            for program in ("bench_micro_rill", "bench_micro_asio", "bench_micro_messages"):
                if program not in self.programs:
                    continue
                done = subprocess.run(["taskset", "-c", self.machine.load_cores(1), str(self.programs[program]),
                                       "--benchmark_format=json", "--benchmark_min_time=0.2"], capture_output=True,
                                      text=True, timeout=300, check=True)
                for entry in json.loads(done.stdout)["benchmarks"]:
                    self.micro.setdefault(entry["name"], []).append(entry["real_time"])
        print(f"\n{report.MICRO_TITLE}")
        print(report.plain_table(report.MICRO_HEADS, report.micro_rows(self.micro)), flush=True)
        self.store()

    def store(self) -> None:
        (BUILD / "results.json").write_text(json.dumps({"cases": self.results, "micro": self.micro}, indent=1))

    def load(self) -> None:
        stored = BUILD / "results.json"
        if stored.is_file():
            content = json.loads(stored.read_text())
            self.results, self.micro = content["cases"], content["micro"]


def main() -> int:
    options = parse()
    cases, micro = chosen_cases(options)
    for peer in options.peers.split(",") if options.peers else []:
        if peer not in PEERS:
            raise SystemExit(f"bench: no peer is called {peer} (see --help)")
    wanted = set(options.peers.split(",")) if options.peers else {peer for case in cases for peer in case.peers}
    programs = building.find_programs(BUILD) if options.no_build else building.build(ROOT, BUILD, wanted, options.jobs)
    session = Session(options, programs)
    if options.keep:
        session.load()
    for case in cases:
        session.run_case(case)
    if micro:
        session.run_micro()
    judged = report.judge(session.results)
    if judged:
        print("\nWhat rill is held to")
        print(report.plain_table(report.JUDGE_HEADS, judged))
    partial = (options.quick or options.required or options.case or options.peers) and not options.keep
    folder = options.output or (BUILD if partial else ROOT / "docs")
    report.write(session.results, session.micro, building.versions(ROOT), machine_line(), options.seconds, folder)
    print(f"\nbench: wrote {folder}/benchmarks.md and benchmarks.svg")
    for failure in session.failures:
        print(f"bench: no figure: {failure}", file=sys.stderr)
    return 1 if session.failures else 0


if __name__ == "__main__":
    sys.exit(main())
