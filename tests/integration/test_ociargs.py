"""Our readings of command lines against what runc and crun themselves make of them.

Each runtime is called with a bundle that does not exist and says in its error which one it looked for: nothing is ever created.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cdi_hook.oci import arguments

CASES = 120
BUNDLES = ("/nonexistent/one", "/nonexistent/two", "nonexistent-three")
GLOBAL = ["--debug", "--root=/nonexistent/root", "--root /nonexistent/root", "--systemd-cgroup", "--rootless true", "--log-format json"]
GLOBAL += ["--log-format=json", "--log {log}", "--log={log}"]
SPELLED = {
    "runc": {
        "global": [*GLOBAL, "-debug", "-root /nonexistent/root", "--debug=false", "-log-format=text", "--criu create", "-criu=run"],
        "bundle": ["--bundle {}", "--bundle={}", "-bundle {}", "-bundle={}", "-b {}", "-b={}", "--b {}", "--b={}"],
        "other": ["--no-pivot", "-no-new-keyring=true", "--pid-file create", "-pid-file=run", "--console-socket --", "--preserve-fds 1"],
    },
    "crun": {
        "global": [
            *GLOBAL,
            "--cgroup-manager cgroupfs",
            "--cg=systemd",
            "--log-f json",
            "--program-name create",
            "--prog run",
            "--rootl run",
        ],
        "bundle": ["--bundle {}", "--bundle={}", "-b {}", "-b{}", "-b={}", "--b {}", "--bun={}", "--bundl {}"],
        "other": ["--no-pivot", "--no-n", "--pid-file create", "--pi=run", "--console-socket --", "--pre 1", "-f create", "--conf=run"],
    },
}


def looked_for(runtime: str, words: list[str], cwd: Path) -> str:
    """The bundle that the runtime names when it fails; "" if it stopped before (a usage error)."""
    done = subprocess.run([runtime, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=20, stdin=subprocess.DEVNULL)
    log = cwd / "log"
    said = done.stderr + (log.read_text() if log.exists() else "")
    found = re.search(r"(?:chdir|realpath) `?(\S*?nonexistent\S*?)(?:`|:)", said)
    return found[1] if found else ""


@pytest.mark.parametrize("family", ["runc", "crun"])
def test_readings_are_the_runtime_s_own(family: str, tmp_path: Path) -> None:
    """Random spellings, options and orders: whenever the runtime accepts the words, we read the bundle that it reads."""
    runtime = shutil.which(family)
    if runtime is None:
        pytest.skip(f"{family} is not installed")
    chance = random.Random(4)
    spelled = SPELLED[family]
    accepted = 0
    for _ in range(CASES):
        before = chance.sample(spelled["global"], chance.randint(0, 3))
        after = chance.sample(spelled["other"], chance.randint(0, 2))
        after += [chance.choice(spelled["bundle"]).format(chance.choice(BUNDLES)) for _ in range(chance.randint(1, 2))]
        chance.shuffle(after)
        after.insert(chance.randint(0, len(after)) if family == "runc" and chance.random() < 0.3 else len(after), "create")
        words = " ".join([*before, chance.choice(["create", "run"]), *after]).replace("{log}", str(tmp_path / "log")).split()
        bundle = looked_for(runtime, words, tmp_path)
        (tmp_path / "log").unlink(missing_ok=True)
        if bundle:
            accepted += 1
            assert [reading[1] for reading in arguments.readings(words, family)] == [bundle], words
    assert accepted > CASES / 2
