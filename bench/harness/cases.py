"""What is measured: the peers, the cases, and the ratios that rill must show.

To add a server, add a Peer; it takes part in every case whose `peers` name it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A program under test. `program` is a file in the build; `flags` come before those of the case."""

    title: str
    program: str
    flags: tuple[str, ...] = ()


PEERS = {
    "rill": Peer("rill", "bench_rill_server", ("--encode", "once")),
    "rill-uncorked": Peer("rill, corking off", "bench_rill_server", ("--encode", "once", "--cork", "off")),
    "rill-each": Peer("rill, serialising per stream", "bench_rill_server", ("--encode", "each")),
    "plain": Peer("hand-written, one write a message", "bench_cq_server"),
    "hint": Peer("hand-written, hinting", "bench_cq_server", ("--mode", "hint")),
    "hint-once": Peer("hand-written, hinting, serialising once", "bench_cq_server",
                      ("--mode", "hint", "--encode", "once")),
    "callback": Peer("callback API", "bench_callback_server"),
    "tonic": Peer("tonic", "bench_tonic_server"),
    "grpc-go": Peer("grpc-go", "bench_go_server"),
}

CLIENTS = {
    "rill": Peer("rill client", "bench_rill_load"),
    "plain": Peer("hand-written client, one write a message", "bench_grpc_load", ("--typed", "1", "--hint", "0")),
    "hint": Peer("hand-written client, hinting", "bench_grpc_load", ("--typed", "1", "--hint", "-1")),
}


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    higher_is_better: bool
    scale: float = 1.0


RATE = Metric("rate", "messages/s", True)
CALLS = Metric("rate", "calls/s", True)
SERVER_CPU = Metric("server_us", "server CPU us", False)
CLIENT_CPU = Metric("load_us", "client CPU us", False)
P50 = Metric("p50_us", "p50 us", False)
P99 = Metric("p99_us", "p99 us", False)
BYTES = Metric("bytes_per_stream", "bytes a stream", False)
RISE = Metric("rise_kib", "memory rise KiB", False)


@dataclass(frozen=True)
class Case:
    """One case. `load` is h2load, h2, grpc or client; the first metric is the one that the chart shows."""

    name: str
    title: str
    load: str
    arguments: tuple[str, ...]
    metrics: tuple[Metric, ...]
    peers: tuple[str, ...]
    server_flags: tuple[str, ...] = ()
    reference: str = "plain"
    threads: int = 1
    timed: bool = True           # takes --seconds and --warmup
    share_of_capacity: float = 0  # the rate is this share of the slowest peer's capacity


ALL = ("rill", "plain", "callback", "tonic", "grpc-go")
UNARY = ("rill", "rill-uncorked", "plain", "callback", "tonic", "grpc-go")
STREAM = ("rill", "plain", "hint", "callback", "tonic", "grpc-go")
FANOUT = ("rill", "rill-each", "hint-once", "hint", "callback", "tonic", "grpc-go")

UNARY_SIZE = 98  # with its field header, a message of 100 bytes


def _unary(connections: int, in_flight: int) -> tuple[str, ...]:
    return ("-c", str(connections), "-m", str(in_flight))


def _build() -> list[Case]:
    cases = [
        Case("unary", "Unary 100 B, 10 connections x 100 in flight", "h2load", _unary(10, 100),
             (CALLS, SERVER_CPU), UNARY),
        Case("latency-50", "Unary 100 B at 50 % of the slowest peer's capacity", "h2",
             ("rate", "--connections", "10", "--size", str(UNARY_SIZE)), (P50, P99, SERVER_CPU),
             UNARY, share_of_capacity=0.5),
        Case("latency-80", "Unary 100 B at 80 % of the slowest peer's capacity", "h2",
             ("rate", "--connections", "10", "--size", str(UNARY_SIZE)), (P50, P99, SERVER_CPU),
             UNARY, share_of_capacity=0.8),
    ]
    for connections, in_flight in ((1, 1), (1, 10), (10, 10), (100, 1)):
        cases.append(Case(f"unary-{connections}x{in_flight}",
                          f"Unary 100 B, {connections} x {in_flight} in flight", "h2load",
                          _unary(connections, in_flight), (CALLS, SERVER_CPU), ("rill", "rill-uncorked", "plain")))
    cases.append(Case("unary-2-loops", "Unary 100 B, two loops, 10 x 100 in flight", "h2load", _unary(10, 100),
                      (CALLS, SERVER_CPU), ALL, threads=2))
    for label, size in (("16", 16), ("1k", 1024), ("64k", 65536)):
        for way, title in (("down", "Server streaming"), ("up", "Client streaming")):
            bytes_title = {"16": "16 B", "1k": "1 KiB", "64k": "64 KiB"}[label]
            peers = STREAM if way == "down" else ALL
            cases.append(Case(f"{way}-{label}", f"{title} {bytes_title}", "grpc", (way, "--size", str(size)),
                              (RATE, SERVER_CPU), peers))
            cases.append(Case(f"{way}-{label}-bare", f"{title} {bytes_title}, bare HTTP/2 load", "h2",
                              (way, "--size", str(size)), (RATE, SERVER_CPU), peers))
    cases += [
        Case("pingpong", "Bidirectional ping-pong 16 B, one message in flight", "h2", ("pingpong", "--size", "16"),
             (P50, P99, SERVER_CPU), ALL),
        Case("beside", "The same ping-pong while a server stream of another connection takes all it can", "h2",
             ("beside", "--size", "16"), (P50, P99), STREAM),
        Case("flood", "Full-duplex flood 16 B", "h2", ("flood", "--size", "16"), (RATE, SERVER_CPU), STREAM),
    ]
    for label, size, title in (("1k", 1024, "1 KiB"), ("doc", 0, "a complex 16 KiB message")):
        for streams in (10, 100, 1000):
            cases.append(Case(f"fanout-{label}-{streams}", f"Fan-out of {title} to {streams} streams", "grpc",
                              ("fanout", "--size", str(size), "--streams", str(streams), "--connections", "10",
                               "--round", str(max(20, 20000 // streams))),
                              (RATE, SERVER_CPU), FANOUT, reference="hint"))
    cases += [
        Case("slow-readers", "32 complex 16 KiB messages to 1,000 streams that do not read", "grpc",
             ("slow", "--size", "0", "--streams", "1000", "--connections", "10", "--count", "32"),
             (RISE,), FANOUT, reference="hint", timed=False),
        Case("idle", "10,000 idle bidirectional streams", "grpc",
             ("idle", "--streams", "10000", "--connections", "100"), (BYTES,), ALL, timed=False),
        Case("stall", "Ten million messages of 1 KiB to a reader that stops after ten, 64 KiB window", "grpc",
             ("stall", "--size", "1024", "--window", "65536"), (RISE,), ALL, ("--window", "65536"), timed=False),
        Case("upload", "Upload of 1 GiB in messages of 64 KiB", "grpc",
             ("up", "--size", "65536", "--bytes", str(1 << 30)), (RATE, SERVER_CPU), ALL, timed=False),
    ]
    clients = ("rill", "plain", "hint")
    cases += [
        Case("client-unary", "Unary 100 B by the client, 10 connections x 10 in flight", "client",
             ("unary", "--size", str(UNARY_SIZE), "--connections", "10", "--in-flight", "10"), (CALLS, CLIENT_CPU),
             ("rill", "plain")),
        Case("client-down-16", "Server streaming 16 B, read by the client", "client", ("down", "--size", "16"),
             (RATE, CLIENT_CPU), ("rill", "plain")),
        Case("client-up-16", "Client streaming 16 B, written by the client", "client", ("up", "--size", "16"),
             (RATE, CLIENT_CPU), clients),
        Case("client-up-64k", "Client streaming 64 KiB, written by the client", "client", ("up", "--size", "65536"),
             (RATE, CLIENT_CPU), clients),
        Case("client-flood", "Full-duplex flood 16 B by the client", "client", ("flood", "--size", "16"),
             (RATE, CLIENT_CPU), clients),
        Case("client-pingpong", "Ping-pong 16 B by the client", "client", ("pingpong", "--size", "16"),
             (P50, P99, CLIENT_CPU), ("rill", "plain")),
    ]
    return cases


CASES = {case.name: case for case in _build()}

# What --quick runs: one case of each kind.
QUICK = ("unary", "down-16", "up-16", "pingpong", "fanout-doc-100", "idle", "client-up-16")

# The chart shows these.
CHARTED = ("unary", "down-16-bare", "up-16-bare", "down-64k", "pingpong", "flood", "fanout-doc-1000", "idle")


@dataclass(frozen=True)
class Requirement:
    """`peer`'s median of a metric, divided by `other`'s, must be at least or at most `bound`."""

    case: str
    metric: Metric
    peer: str
    other: str
    bound: float
    at_least: bool = True


@dataclass(frozen=True)
class Surplus:
    """`peer`'s median must exceed `other`'s by no more than `bound`."""

    case: str
    metric: Metric
    peer: str
    other: str
    bound: float


@dataclass(frozen=True)
class Limit:
    """`peer`'s median must be no more than `bound`."""

    case: str
    metric: Metric
    peer: str
    bound: float


REQUIREMENTS: tuple[Requirement | Surplus | Limit, ...] = (
    Requirement("unary", SERVER_CPU, "rill-uncorked", "plain", 1.00, at_least=False),
    Requirement("unary", CALLS, "rill", "plain", 1.20),
    Requirement("unary", CALLS, "rill", "grpc-go", 1.30),
    Requirement("unary", CALLS, "rill", "tonic", 0.85),
    Requirement("unary-1x1", CALLS, "rill", "rill-uncorked", 0.97),
    Requirement("unary-1x10", CALLS, "rill", "rill-uncorked", 0.97),
    Requirement("unary-10x10", CALLS, "rill", "rill-uncorked", 0.97),
    Requirement("unary-100x1", CALLS, "rill", "rill-uncorked", 0.97),
    Requirement("latency-50", P50, "rill", "rill-uncorked", 1.05, at_least=False),
    Requirement("latency-50", P50, "rill", "plain", 1.05, at_least=False),
    Requirement("down-16", RATE, "rill", "plain", 8.0),
    Requirement("down-16-bare", RATE, "rill", "hint", 1.2),
    Requirement("client-up-16", RATE, "rill", "plain", 8.0),
    Requirement("client-up-16", RATE, "rill", "hint", 0.95),
    Requirement("up-16-bare", RATE, "rill", "plain", 0.95),
    Requirement("down-64k", RATE, "rill", "plain", 1.0),
    Requirement("up-64k", RATE, "rill", "plain", 1.0),
    Requirement("client-up-64k", RATE, "rill", "plain", 1.0),
    Requirement("pingpong", P50, "rill", "plain", 1.02, at_least=False),
    Requirement("fanout-doc-1000", SERVER_CPU, "rill", "rill-each", 0.5, at_least=False),
    Surplus("idle", BYTES, "rill", "plain", 1024),
    # 256 messages of queue, gRPC's 64 KiB write buffer, twice the window of 64 KiB, and a little of the heap.
    Limit("stall", RISE, "rill", 512),
)
