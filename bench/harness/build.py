"""Builds what is measured, in release mode."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path


def _run(command: list[str], log: Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    with log.open("a") as out:
        out.write("$ " + " ".join(command) + "\n")
        out.flush()
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    if done.returncode != 0:
        sys.stderr.write(log.read_text()[-4000:])
        raise SystemExit(f"bench: {' '.join(command)} failed; the whole output is in {log}")


def build_cpp(root: Path, build: Path, jobs: int) -> None:
    log = build / "build.log"
    _run(["cmake", "-S", str(root), "-B", str(build / "cpp"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
          "-DRILL_BUILD_BENCH=ON", "-DRILL_BUILD_TESTS=OFF", "-DRILL_BUILD_EXAMPLES=OFF"], log)
    _run(["cmake", "--build", str(build / "cpp"), "--parallel", str(jobs)], log)


def build_tonic(root: Path, build: Path, jobs: int) -> None:
    env = os.environ | {"CARGO_TARGET_DIR": str(build / "tonic")}
    _run(["cargo", "build", "--release", "--locked", "--jobs", str(jobs)], build / "build.log",
         root / "bench/peers/tonic", env)


def build_go(root: Path, build: Path) -> None:
    """Generates the service beside a copy of the sources, so that the source tree stays as it is."""
    log = build / "build.log"
    module = build / "grpc-go"
    shutil.rmtree(module, ignore_errors=True)
    shutil.copytree(root / "bench/peers/grpc-go", module)
    tools = module / "bin"
    tools.mkdir()
    _run(["go", "build", "-o", str(tools) + "/", "tool"], log, module)
    _run(["protoc", f"-I{root / 'bench/protos'}", f"--go_out={module}", "--go_opt=module=rill/bench",
          f"--go-grpc_out={module}", "--go-grpc_opt=module=rill/bench", "bench.proto"], log, module,
         os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    _run(["go", "build", "-o", "bench_go_server", "."], log, module)


def build(root: Path, build_dir: Path, wanted: set[str], jobs: int) -> dict[str, Path]:
    """Builds what the wanted peers need; gives the programs by name. What cannot be built here is left out."""
    build_dir.mkdir(parents=True, exist_ok=True)
    (build_dir / "build.log").write_text("")
    print("bench: building the C++ programs", flush=True)
    build_cpp(root, build_dir, jobs)
    if "tonic" in wanted:
        if shutil.which("cargo"):
            print("bench: building the tonic peer", flush=True)
            build_tonic(root, build_dir, jobs)
        else:
            print("bench: no cargo here, tonic is left out")
    if "grpc-go" in wanted:
        if shutil.which("go"):
            print("bench: building the grpc-go peer", flush=True)
            build_go(root, build_dir)
        else:
            print("bench: no go here, grpc-go is left out")
    return find_programs(build_dir)


def find_programs(build_dir: Path) -> dict[str, Path]:
    places = [*(build_dir / "cpp/bench").glob("bench_*"), build_dir / "tonic/release/bench_tonic_server",
              build_dir / "grpc-go/bench_go_server"]
    return {path.name: path for path in places if path.is_file() and os.access(path, os.X_OK)}


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def versions(root: Path) -> dict[str, str]:
    """The versions that the figures belong to."""
    def locked(path: Path, pattern: str) -> str:
        found = re.search(pattern, path.read_text())
        return found.group(1) if found else "?"

    return {
        "gRPC C++": _output(["pkg-config", "--modversion", "grpc++"]),
        "compiler": _output(["c++", "--version"]).splitlines()[0],
        "tonic": locked(root / "bench/peers/tonic/Cargo.lock", r'name = "tonic"\nversion = "([^"]+)"'),
        "grpc-go": locked(root / "bench/peers/grpc-go/go.mod", r"google\.golang\.org/grpc v(\S+)"),
        "h2load": _output(["h2load", "--version"]).removeprefix("h2load "),
    }
