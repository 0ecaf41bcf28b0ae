"""The hot path measured side by side: ``python3 tests/benchmarks/run.py [--peer PATH] [--rounds N] [--repeats N] [--write]``.

Every case of a row runs once in each round, in shuffled order, so that a noisy neighbour meets all of them; a time is the median over
the rounds, less the median of ``/bin/true`` in the same run, and a ratio divides it by the bare interpreter's, likewise reduced. Only
ratios of one run say anything about the program; absolute times belong to the machine. The real runtime in all rows but the last is a
copy of ``/bin/true`` called ``runc``, so that what is measured is the wrapper. Needs root, Debian's python3, and runc for the last row.

The budgets stand in ``BUDGETS``. ``--write`` puts the table into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
BUDGETS = {
    "another command (state)": 0.12,
    "create, no request": 0.3,
    "create, 1 of 8 devices": 1.35,
    "create, 64 of 64 devices": 1.7,
    "first create after a change, 8 devices": 5.0,
    "= 10,000 known / 8 known": 1.15,
    "= 500 spec files / 8 known": 1.4,
    "peak memory / bare interpreter": 1.3,
    "120 creates, 4 at a time: 95th percentile / single": 4.0,
    "life cycle / plain runc": 1.45,
}
Case = tuple[list[str], Callable[[], None]]


class Bench:
    """An installed wrapper, spec directories of all sizes, and bundles that ask for their devices, all below one directory."""

    def __init__(self, base: Path, peer: str) -> None:
        self.base = base
        self.peer = peer
        (base / "bin").mkdir()
        self.runc = base / "bin/runc"
        shutil.copy("/bin/true", self.runc)
        subprocess.run(["sh", str(ROOT / "packaging/install.sh"), "--prefix", str(base / "prefix")], check=True, stdout=subprocess.DEVNULL)
        self.wrapper = str(base / "prefix/bin/cdi-runtime")

    def specs(self, name: str, files: int, devices: int) -> Path:
        """A directory of ``files`` specs with ``devices`` devices in all."""
        where = self.base / "specs" / name
        where.mkdir(parents=True)
        each = devices // files
        for number in range(files):
            spec = {
                "cdiVersion": "0.6.0",
                "kind": f"acme.com/gpu{number}" if number else "acme.com/gpu",
                "containerEdits": {"env": ["ACME_VISIBLE=1"], "mounts": [_mount("/etc/hostname"), _mount("/etc/passwd")]},
                "devices": [_device(at) for at in range(each)],
            }
            (where / f"acme-{number}.yaml").write_text(_yaml(spec))
        return where

    def settings(self, name: str, specs: Path) -> str:
        """A settings file of the plain shape."""
        file = self.base / f"{name}.yaml"
        file.write_text(f"runtime: {self.runc}\nspecDirs: [{specs}]\n")
        return str(file)

    def bundle(self, name: str, annotations: dict[str, str], size: int = 0) -> Path:
        """A bundle whose config is as containerd writes it, padded to about ``size`` bytes."""
        where = self.base / "bundles" / name
        where.mkdir(parents=True)
        config = json.loads((ROOT / "tests/data/samples/containerd16-workload.json").read_text())
        config["annotations"] = {"io.kubernetes.cri.container-type": "container", **annotations}
        if size:
            config["process"]["env"] += [f"PADDING_{at}={'x' * 90}" for at in range(max(0, size - 3000) // 104)]
        (where / "pristine.json").write_text(json.dumps(config, separators=(",", ":")))
        return where

    def create(self, settings: str, bundle: Path, before: Callable[[], None] = lambda: None) -> Case:
        def prepare() -> None:
            shutil.copyfile(bundle / "pristine.json", bundle / "config.json")
            before()

        log = str(self.base / "log.json")
        argv = [self.wrapper, "--root", "/run/x", "--log", log, "--log-format", "json", "create", "--bundle", str(bundle), "c1"]
        return ["/usr/bin/env", f"CDI_HOOK_CONFIG={settings}", *argv], prepare

    def peer_create(self, specs: Path, bundle: Path) -> Case:
        """The same through nvidia-container-runtime in CDI mode, with a configuration of its own."""
        home = self.base / f"peer-{specs.name}"
        config = home / "nvidia-container-runtime/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[nvidia-container-runtime]\nmode = "cdi"\nlog-level = "info"\ndebug = "/dev/null"\nruntimes = ["{self.runc}"]\n'
            f'[nvidia-container-runtime.modes.cdi]\nspec-dirs = ["{specs}"]\nannotation-prefixes = ["cdi.k8s.io/"]\n'
        )
        argv, prepare = self.create("", bundle)
        return ["/usr/bin/env", f"XDG_CONFIG_HOME={home}", self.peer, *argv[3:]], prepare


def _device(at: int) -> dict[str, object]:
    nodes = [{"path": "/dev/null"}, {"path": "/dev/zero"}]
    edits = {"env": [f"ACME_{at}=1"], "deviceNodes": nodes, "mounts": [_mount("/etc/hosts", f"/run/acme/{at}")]}
    return {"name": str(at), "containerEdits": edits}


def _mount(source: str, target: str = "") -> dict[str, object]:
    return {"hostPath": source, "containerPath": target or f"/run{source}", "options": ["ro", "nosuid", "nodev", "bind"]}


def _yaml(value: object, indent: str = "") -> str:
    """Block YAML as generators write it."""
    if isinstance(value, dict):
        return "".join(f"{indent}{key}:{_nested(member, indent)}" for key, member in value.items())
    assert isinstance(value, list)
    return "".join(f"{indent}-{_nested(member, indent)}" for member in value)


def _nested(value: object, indent: str) -> str:
    return "\n" + _yaml(value, indent + "  ") if isinstance(value, (dict, list)) else f" {json.dumps(value)}\n"


def run_once(case: Case) -> float:
    """Wall time in seconds of one run."""
    argv, prepare = case
    prepare()
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ)
    _, status = os.waitpid(pid, 0)
    elapsed = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(argv)}: status {status}")
    return elapsed


def peak(bench: Bench, case: Case) -> int:
    """Peak memory of one run, in a unit of busybox's own. Not measured from here: a child would begin with our own peak."""
    argv, prepare = case
    prepare()
    file = bench.base / "peak"
    subprocess.run(["/bin/busybox", "time", "-f", "%M", "-o", str(file), *argv], check=True)
    return int(file.read_text())


def interleaved(cases: dict[str, Case], rounds: int) -> dict[str, float]:
    """Median milliseconds of each case."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for _ in range(rounds + 2):
        random.shuffle(names)
        for name in names:
            times[name].append(run_once(cases[name]) * 1000)
    # The first two rounds warm caches and write the indexes.
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def wrapper_rows(bench: Bench) -> dict[str, Case]:
    """Every row that the bare interpreter is the measure of."""
    nothing: Callable[[], None] = lambda: None  # noqa: E731 - a case without preparation
    one = {"cdi.k8s.io/x": "acme.com/gpu=0"}
    cases: dict[str, Case] = {
        # env(1) stands before every case, as it does before the wrapper's, so that it cancels out.
        "true": (["/usr/bin/env", "X=1", "/bin/true"], nothing),
        "python": (["/usr/bin/env", "X=1", PYTHON, "-I", "-S", "-c", ""], nothing),
    }
    sizes = {"8": (1, 8), "64": (1, 64), "1024": (1, 1024), "10000": (1, 10000), "500 files": (500, 4000)}
    settings = {name: bench.settings(name.replace(" ", "-"), bench.specs(name.replace(" ", "-"), *size)) for name, size in sizes.items()}
    eight = bench.bundle("eight", one)
    state = [bench.wrapper, "--root", "/run/x", "--log", "/dev/null", "--log-format", "json", "state", "c1"]
    cases["another command (state)"] = (["/usr/bin/env", f"CDI_HOOK_CONFIG={settings['8']}", *state], nothing)
    cases["create, no request"] = bench.create(settings["8"], bench.bundle("none", {}))
    cases["create, no request, 200 KB config"] = bench.create(settings["8"], bench.bundle("none-large", {}, 200_000))
    cases["create, 1 of 8 devices"] = bench.create(settings["8"], eight)
    for name in ("64", "1024", "10000"):
        cases[f"create, 1 of {name} devices"] = bench.create(settings[name], bench.bundle(f"one-of-{name}", one))
    cases["create, 1 device, 500 spec files"] = bench.create(settings["500 files"], bench.bundle("files", one))
    every = {"cdi.k8s.io/x": ",".join(f"acme.com/gpu={at}" for at in range(64))}
    cases["create, 64 of 64 devices"] = bench.create(settings["64"], bench.bundle("every", every))
    cases["create, 1 of 8 devices, 200 KB config"] = bench.create(settings["8"], bench.bundle("large", one, 200_000))
    cold = bench.specs("cold", 1, 8)

    def touch() -> None:
        # A minute back, so that the index can be written, and another one each time, so that it is not valid.
        os.utime(cold / "acme-0.yaml", (time.time() - 60, time.time() - 60))

    cases["first create after a change, 8 devices"] = bench.create(bench.settings("cold", cold), bench.bundle("cold", one), touch)
    if bench.peer:
        for name in ("8", "1024"):
            cases[f"peer: create, 1 of {name} devices"] = bench.peer_create(bench.base / "specs" / name, bench.bundle(f"peer-{name}", one))
        same_result(cases, bench.base / "bundles/eight", bench.base / "bundles/peer-8")
    return cases


def same_result(cases: dict[str, Case], ours: Path, peers: Path) -> None:
    """Nothing is timed before both wrappers make the same of the same config."""
    run_once(cases["create, 1 of 8 devices"])
    run_once(cases["peer: create, 1 of 8 devices"])
    left, right = (json.loads((where / "config.json").read_text()) for where in (ours, peers))
    if left["process"].get("terminal") is False:
        del left["process"]["terminal"]  # the peer drops what is false
    for ours_, theirs in zip(left["mounts"], right["mounts"]):
        if "type" not in theirs and ours_["type"] == "bind":
            del ours_["type"]  # our hardening
    if left != right:
        raise SystemExit(f"the peer's result differs: compare {ours}/config.json with {peers}/config.json")


def burst(case: Case, single: float, creates: int = 120, wide: int = 4) -> tuple[float, int]:
    """``(95th percentile / single, failures)`` of many creates, some at a time, each in a bundle of its own."""
    argv, prepare = case
    prepare()
    bundle = Path(argv[argv.index("--bundle") + 1])
    commands = []
    for at in range(creates):
        own = bundle.parent / f"burst-{at}"
        shutil.copytree(bundle, own, dirs_exist_ok=True)
        commands.append([str(own) if word == str(bundle) else word for word in argv])
    running: dict[int, float] = {}
    elapsed: list[float] = []
    failures = 0
    while commands or running:
        while commands and len(running) < wide:
            words = commands.pop()
            start = time.perf_counter()
            running[os.posix_spawn(words[0], words, os.environ)] = start
        pid, status, _ = os.wait4(-1, 0)
        elapsed.append((time.perf_counter() - running.pop(pid)) * 1000)
        failures += bool(status)
    elapsed.sort()
    return elapsed[int(len(elapsed) * 0.95) - 1] / single, failures


def lifecycle(bench: Bench, rounds: int) -> tuple[float, float]:
    """Median milliseconds of create, start, state twice, kill, delete: through the wrapper, and plain runc on the edited config."""
    runc = shutil.which("runc")
    if not runc:
        raise SystemExit("runc is not installed")
    settings = bench.base / "life.yaml"
    settings.write_text(f"runtime: {runc}\nspecDirs: [{bench.base / 'specs/8'}]\n")
    bundle = bench.base / "bundles/life"
    shutil.rmtree(bundle, ignore_errors=True)
    (bundle / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", bundle / "rootfs/bin/busybox")
    subprocess.run([runc, "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(args=["/bin/busybox", "sleep", "100"], terminal=False)
    config["root"]["readonly"] = False
    config["annotations"] = {"cdi.k8s.io/x": "acme.com/gpu=0"}
    pristine = json.dumps(config)
    env = {**os.environ, "CDI_HOOK_CONFIG": str(settings)}
    (bundle / "config.json").write_text(pristine)
    inject = [str(bench.base / "prefix/bin/cdi-hook"), "inject", "--as-wrapper", str(bundle / "config.json")]
    edited = subprocess.run(inject, env=env, check=True, capture_output=True, text=True).stdout
    assert edited != pristine
    state = str(bench.base / "runc-state")
    life = (["create", "--bundle", str(bundle)], ["start"], ["state"], ["state"], ["kill", "", "KILL"], ["delete", "--force"])
    times: dict[str, list[float]] = {bench.wrapper: [], runc: []}
    for number in range(rounds):
        for program, text in random.sample([(bench.wrapper, pristine), (runc, edited)], 2):
            (bundle / "config.json").write_text(text)
            start = time.perf_counter()
            for words in life:
                name = f"cdi-bench-{number}"
                full = [word or name for word in words] if "" in words else [*words, name]
                # Not a pipe: the container's init would hold it open.
                subprocess.run([program, "--root", state, *full], env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            times[program].append((time.perf_counter() - start) * 1000)
    return statistics.median(times[bench.wrapper]), statistics.median(times[runc])


def measure(bench: Bench, cases: dict[str, Case], rounds: int) -> dict[str, float]:
    """One repeat: every row's ratio by name."""
    medians = interleaved(cases, rounds)
    base, bare = medians["true"], medians["python"] - medians["true"]
    ratios = {name: (value - base) / bare for name, value in medians.items() if name not in ("true", "python")}
    eight = ratios["create, 1 of 8 devices"]
    ratios["= 10,000 known / 8 known"] = ratios["create, 1 of 10000 devices"] / eight
    ratios["= 500 spec files / 8 known"] = ratios["create, 1 device, 500 spec files"] / eight
    ratios["peak memory / bare interpreter"] = peak(bench, cases["create, 1 of 8 devices"]) / peak(bench, cases["python"])
    single = medians["create, 1 of 8 devices"]
    ratios["120 creates, 4 at a time: 95th percentile / single"], failures = burst(cases["create, 1 of 8 devices"], single)
    if failures:
        raise SystemExit(f"{failures} of 120 concurrent creates failed")
    ours, plain = lifecycle(bench, max(5, rounds // 3))
    ratios["life cycle / plain runc"] = ours / plain
    ratios["(bare interpreter, ms)"] = bare
    return ratios


def table(repeats: list[dict[str, float]]) -> str:
    """The rows with their budget and the range over the repeats, as Markdown."""
    lines = ["| case | budget | measured (range of repeats) | met |", "|---|---|---|---|"]
    for name in repeats[0]:
        values = [repeat[name] for repeat in repeats]
        budget = BUDGETS.get(name)
        met = "" if budget is None else "yes" if max(values) <= budget else "no" if min(values) > budget else "mostly"
        lines.append(f"| {name} | {'' if budget is None else f'≤ {budget}'} | {min(values):.2f} to {max(values):.2f} | {met} |")
    return "\n".join(lines)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown")
    version = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{os.cpu_count()} × {cpu}, Linux {platform.release()}, {version}, sh is {os.path.realpath('/bin/sh')}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", default="", metavar="PATH", help="an nvidia-container-runtime to compare with, in CDI mode")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    args = parser.parse_args()
    # On tmpfs, where containerd and podman keep the bundles of running containers (/run).
    with tempfile.TemporaryDirectory(prefix="cdi-hook-bench-", dir="/dev/shm") as base:
        bench = Bench(Path(base), args.peer)
        cases = wrapper_rows(bench)
        repeats = [measure(bench, cases, args.rounds) for _ in range(args.repeats)]
    text = table(repeats)
    print(machine(), text, sep="\n\n")
    if args.write:
        page = ROOT / "docs/performance.md"
        start, mark, rest = page.read_text().partition("<!-- table -->\n")
        _, end, rest = rest.partition("<!-- end -->")
        page.write_text(f"{start}{mark}{machine()}; {args.rounds} rounds, {args.repeats} repeats.\n\n{text}\n{end}{rest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
