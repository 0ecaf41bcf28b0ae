"""The demonstration of the README's first screen: it shows what it says, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_demo(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("runc needs root")
    if shutil.which("runc", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("runc is not installed")
    device = next((path for path in ("/dev/fuse", "/dev/kvm", "/dev/net/tun") if Path(path).is_char_device()), None)
    if device is None:
        pytest.skip("no device to show: none of /dev/fuse, /dev/kvm and /dev/net/tun")
    before = set(Path("/tmp").glob("cdi-demo.*"))
    start = time.monotonic()
    done = subprocess.run(["sh", str(ROOT / "packaging/demo.sh")], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - start < 60
    rows = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines()]
    assert ["without the annotation", "with it"] in rows
    assert [device, "not there", "there, and can be opened"] in rows
    assert ["$DEMO_DEVICE", "not set", "first"] in rows
    assert ["/opt/vendor/greeting", "not there", "a file of the vendor, mounted from the host"] in rows
    assert ["the hook", "did not run", "ran before the container's program"] in rows
    assert re.search(r"^     cdi-hook: .*vendor\.com/demo=second", done.stdout, re.M)
    assert set(Path("/tmp").glob("cdi-demo.*")) == before
