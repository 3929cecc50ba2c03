"""Runs one case against one peer once."""

import json
import os
import re
import signal
import struct
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .cases import CLIENTS, PEERS, UNARY_SIZE, Case

Result = dict[str, float]


class BenchError(Exception):
    """A run that gave no figure."""


class Machine:
    """Which cores the two sides get: the first ones serve, the last one loads."""

    def __init__(self) -> None:
        self.cores = sorted(os.sched_getaffinity(0))

    def server_cores(self, threads: int) -> str:
        return ",".join(map(str, self.cores[:threads]))

    def load_cores(self, threads: int) -> str:
        return str(self.cores[-1] if len(self.cores) <= threads + 1 else self.cores[threads])


class Server:
    """A server process under test."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process = process
        self.port = port
        self.counts: dict[str, int] = {}

    def cpu_us(self) -> float:
        """CPU microseconds of all threads so far, from /proc/PID/stat."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends the server; afterwards `counts` holds what it says it did."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        lines = out.strip().splitlines()
        if self.process.returncode != 0 or not lines:
            raise BenchError(f"the server ended with {self.process.returncode}")
        self.counts = json.loads(lines[-1])


@contextmanager
def running(program: Path, flags: list[str], cores: str) -> Iterator[Server]:
    process = subprocess.Popen(["taskset", "-c", cores, str(program), *flags], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"{program.name} did not start")
        yield Server(process, json.loads(line)["port"])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _load(command: list[str], cores: str, timeout: float) -> str:
    try:
        done = subprocess.run(["taskset", "-c", cores, *command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise BenchError(f"{Path(command[0]).name} did not end within {timeout:.0f} s") from late
    if done.returncode != 0:
        raise BenchError(done.stderr.strip()[-300:] or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def _message_file() -> Path:
    """The unary request as gRPC frames it."""
    body = b"\x0a" + bytes([UNARY_SIZE]) + b"x" * UNARY_SIZE
    with tempfile.NamedTemporaryFile(prefix="rill-bench-", suffix=".lpm", delete=False) as file:
        file.write(b"\0" + struct.pack(">I", len(body)) + body)
    return Path(file.name)


def _h2load(case: Case, server: Server, cores: str, seconds: float, warmup: float) -> Result:
    message = _message_file()
    try:
        before = server.cpu_us()
        text = _load(["h2load", *case.arguments, "-t", "1", "-D", f"{seconds * 1000:.0f}ms",
                      f"--warm-up-time={warmup * 1000:.0f}ms",
                      "-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(message),
                      f"http://127.0.0.1:{server.port}/rill.bench.v1.Bench/Unary"], cores, seconds + warmup + 30)
        used = server.cpu_us() - before
    finally:
        message.unlink()
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", text)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    succeeded = re.search(r"(\d+) succeeded", text)
    if not rate or not failed or not succeeded or any(int(count) for count in failed.groups()):
        raise BenchError("h2load reports failures:\n" + text)
    server.stop()
    # h2load looks at HTTP's status only. The server counts what it answered, warm-up included.
    if server.counts["unary"] < int(succeeded.group(1)):
        raise BenchError(f"h2load counts {succeeded.group(1)} answers, the server {server.counts['unary']}")
    return {"rate": float(rate.group(1)), "server_us": used / server.counts["unary"]}


def run_once(case: Case, peer: str, programs: dict[str, Path], machine: Machine, seconds: float, warmup: float,
             rate: float = 0) -> Result:
    """One run. *Raises* BenchError when it gives no figure."""
    measured = CLIENTS[peer] if case.load == "client" else PEERS[peer]
    server_of = PEERS["hint"] if case.load == "client" else measured
    flags = [*server_of.flags, *case.server_flags, "--threads", str(case.threads), "--lifetime", "180"]
    load_cores = machine.load_cores(case.threads)
    with running(programs[server_of.program], flags, machine.server_cores(case.threads)) as server:
        if case.load == "h2load":
            return _h2load(case, server, load_cores, seconds, warmup)
        program = {"h2": "bench_h2_load", "grpc": "bench_grpc_load", "client": measured.program}[case.load]
        name, *arguments = case.arguments
        command = [str(programs[program]), name, *arguments, "--port", str(server.port), "--pid",
                   str(server.process.pid)]
        if case.load == "client":
            command += measured.flags
        if case.timed:
            command += ["--seconds", str(seconds), "--warmup", str(warmup)]
        if rate:
            command += ["--rate", str(rate)]
        result = json.loads(_load(command, load_cores, seconds + warmup + 120))
        server.stop()
        return {key: value for key, value in result.items() if isinstance(value, (int, float))}
