"""The part of scripts/demo that runs things: python3 demo.py <folder of the built examples>"""

import hashlib
import os
import pathlib
import re
import secrets
import shutil
import signal
import sys
import tempfile
import textwrap
import time

from processes import Process

EXAMPLES = pathlib.Path(sys.argv[1])
TERMINAL = sys.stdout.isatty()
COLOURS = {"ada": "36", "bob": "32", "carol": "35"}
WIDTH = min(shutil.get_terminal_size((100, 24)).columns, 120)
MIB = 1 << 20

started = []


def start(*command, **options):
    process = Process(*command, **options)
    started.append(process)
    return process


def in_colour(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if TERMINAL else text


def title(text):
    print("\n" + in_colour("1", f"=== {text} ==="), flush=True)


def explain(text):
    print(in_colour("2", textwrap.fill(text, WIDTH)), flush=True)


def show(who, line):
    line = re.sub(r"\b\d\d:\d\d ", "", line)
    room = WIDTH - 12
    if len(line) > room:
        line = line[: room - 3] + "..."
    print(f"  {in_colour(COLOURS.get(who, '33'), f'{who:>7}')} | {line}", flush=True)


class Member:
    """A chat client that follows the steps it is given; shows what it sees as its own."""

    def __init__(self, name, target, token, *flags):
        self.name = name
        self.process = start(
            EXAMPLES / "chat/chat", "--server", target, "--script", "-", *flags, stdin=True, CHAT_TOKEN=token
        )

    def do(self, *steps):
        self.process.send(*steps)

    def sees(self, text):
        shown = len(self.process.lines)
        self.process.expect(text)
        for line in self.process.lines[shown:]:
            show(self.name, line)

    def leaves(self):
        self.process.send("leave")
        self.process.end_input()
        self.process.finish()


def stop(name, server):
    server.terminate()
    server.finish()
    explain(f"The {name} server was told to stop (SIGTERM), drained, and exited with 0.")


def chat(scratch):
    title("chat: three members, one of them slow")
    tokens = {name: secrets.token_hex(16) for name in COLOURS}
    (scratch / "tokens").write_text("".join(f"{name} {token}\n" for name, token in tokens.items()))
    (scratch / "tokens").chmod(0o600)

    def serve():
        return start(
            EXAMPLES / "chat/chat_server",
            *("--listen", "127.0.0.1:0", "--tokens", scratch / "tokens"),
            *("--history", scratch / "chat.db", "--queue", "16"),
        )

    server = serve()
    target = f"127.0.0.1:{server.port()}"
    explain(f"A server on {target}. Whoever comes in shows a bearer token; what is said is kept in SQLite.")
    ada = Member("ada", target, tokens["ada"])
    ada.do("join lobby")
    ada.sees("alone")
    bob = Member("bob", target, tokens["bob"])
    bob.do("join lobby")
    bob.sees("with ada")
    ada.sees("bob joined")
    ada.do("say Good morning, Bob!")
    bob.sees("Good morning")
    bob.do("say Good morning, Ada. Carol comes too, but she is on a slow line.")
    ada.sees("slow line")
    carol = Member("carol", target, tokens["carol"], "--window", "65536")
    carol.do("join lobby")
    carol.sees("with ada, bob")
    ada.sees("carol joined")

    explain(
        "Carol stops reading. Bob says 496 long things, as fast as Ada hears them. Carol's queue on the server holds 16 "
        "events and then loses the oldest ones; nobody waits for her, and the server's memory does not grow."
    )
    carol.do("stop-reading")
    began = time.monotonic()
    for first in range(1, 496, 16):
        bob.do(*(f"say {number} of 496: {'la ' * 500}" for number in range(first, first + 16)))
        for member in (ada, bob):
            member.process.expect(f"bob: {first + 15} of 496")
    show("ada", ada.process.lines[-1])
    explain(f"Ada has heard all 496, {time.monotonic() - began:.2f} s after the first. Now Carol reads on:")
    carol.do("read-on")
    carol.process.expect("you missed")
    show("carol", carol.process.lines[-1])
    carol.process.expect("496 of 496")
    show("carol", carol.process.lines[-1])
    carol.do("who")
    carol.sees("here are ada, bob, carol")
    bob.leaves()
    ada.sees("bob left")

    explain("The server is told to stop, and tells the members why their streams end:")
    server.terminate()
    for member in (ada, carol):
        member.process.expect("! the server stops")
        show(member.name, member.process.lines[-1])
        member.do("expect-end UNAVAILABLE")
        member.process.end_input()
        member.process.finish()
    server.finish()

    explain("Started again, it still knows what was said:")
    server = serve()
    target = f"127.0.0.1:{server.port()}"
    bob = Member("bob", target, tokens["bob"])
    bob.do("join lobby")
    bob.process.expect("496 of 496")
    show("bob", bob.process.lines[-1])
    bob.sees("alone")
    bob.leaves()
    stranger = Member("mallory", target, "not-a-token-that-anybody-has")
    stranger.do("join lobby", "expect-end UNAUTHENTICATED")
    stranger.sees("UNAUTHENTICATED")
    stranger.process.end_input()
    stranger.process.finish()
    stop("chat", server)


def bars(client, until):
    """Shows the client's progress until a line has `until`; on a terminal as one bar that moves."""
    while True:
        line = client.expect("")
        bar = line.startswith("[")
        percent = int(re.search(r"(\d+)%", line)[1]) if bar else 0
        if bar and TERMINAL:
            print(f"\r  {line}\x1b[K", end="", flush=True)
        elif not bar or percent % 25 == 0 or until in line:
            print(f"  {line}", flush=True)
        if until in line:
            if bar and TERMINAL:
                print(flush=True)
            return


def upload(scratch):
    title("upload: 256 MiB, killed half-way, resumed")
    folder = scratch / "received"
    folder.mkdir()
    file = scratch / "holiday.mov"
    digest = hashlib.sha256()
    with open(file, "wb") as out:
        for _ in range(256):
            block = os.urandom(MIB)
            digest.update(block)
            out.write(block)
    server = start(EXAMPLES / "upload/upload_server", "--listen", "127.0.0.1:0", folder)
    target = f"127.0.0.1:{server.port()}"
    explain(f"A server on {target} that receives files into an empty folder. The client may send 80 MiB a second.")
    command = (EXAMPLES / "upload/upload", "--server", target, "--limit-rate", "80M", file)

    client = start(*command)
    bars(client, " 50%")
    client.kill()
    client.finish(code=-9)
    server.expect("broken off")
    explain("That client was killed (kill -9).")
    print("  server:", server.lines[-1])
    print(f"  in the folder: {visible(folder) or 'nothing, because half a file is no file'}")
    explain("The same command again:")
    client = start(*command)
    bars(client, "is stored")
    client.finish()

    received = hashlib.sha256((folder / file.name).read_bytes()).hexdigest()
    if received != digest.hexdigest():
        raise AssertionError(f"the received file has the SHA-256 {received}, not {digest.hexdigest()}")
    print(f"  in the folder: {', '.join(visible(folder))}; its SHA-256 is that of the original")
    peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{server.pid}/status").read_text())[1]
    print(f"  the server's memory never exceeded {int(peak) // 1024} MiB")
    refused = start(EXAMPLES / "upload/upload", "--server", target, "--as", "../holiday.mov", file)
    print("  and a name that leaves the folder:", refused.expect("INVALID_ARGUMENT"))
    refused.finish(code=1)
    stop("upload", server)


def visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def main():
    with tempfile.TemporaryDirectory(prefix="rill-demo-") as scratch:
        try:
            chat(pathlib.Path(scratch))
            upload(pathlib.Path(scratch))
        finally:
            for process in started:
                process.close()
    title("where to go next")
    print("  README.md                   what rill is, and its smallest program (examples/hello)")
    print("  examples/chat/README.md     the chat, with a client for people")
    print("  examples/upload/README.md   the upload")
    print("  docs/                       a guide to each kind of call; threads, lifetimes and cancellation")
    print("  scripts/test                builds and runs every test")
    print(f"  The examples that you saw are built in {EXAMPLES}.")


# A demo that is told to end still takes its processes with it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    main()
except (AssertionError, OSError) as error:
    print(f"\nscripts/demo: failed: {error}", file=sys.stderr)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
