"""``docs/entry-points.md`` and ``docs/security.md`` against the code and the tests that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cdi_hook.live import edits as live

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/entry-points.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SECURITY)))

ROWS = {
    "env": "`env`",
    "node": "`deviceNodes` (node)",
    "rule": "`deviceNodes` (rule)",
    "net": "`netDevices`",
    "mount": "`mounts`",
    "rdt": "`intelRdt`",
    "gid": "`additionalGids`",
    "hook prestart": "`hooks`: `prestart`, `createRuntime`",
    "hook createRuntime": "`hooks`: `prestart`, `createRuntime`",
    "hook createContainer": "`hooks`: `createContainer`",
    "hook startContainer": "`hooks`: `startContainer`, `poststart`, `poststop`",
    "hook poststart": "`hooks`: `startContainer`, `poststart`, `poststop`",
    "hook poststop": "`hooks`: `startContainer`, `poststart`, `poststop`",
}


def test_every_kind_has_a_row() -> None:
    stages = {f"hook {stage}" for stage in live.OUR_STAGES + live.THEIR_STAGES}
    assert set(ROWS) == (set(live.APPLY) - {"hook"}) | set(live.TOO_LATE) | stages


@pytest.mark.parametrize(("key", "row"), ROWS.items(), ids=ROWS)
def test_row_says_what_the_hook_does(key: str, row: str) -> None:
    (cells,) = [line.split(" | ") for line in PAGE.splitlines() if line.startswith(f"| {row} | ")]
    assert cells[3].startswith("**refused**" if key in live.TOO_LATE else "done")


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_named_test_exists(file: str, test: str) -> None:
    assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_each_way_names_a_test() -> None:
    rows = [line for line in SECURITY.splitlines() if line.startswith("| 20")]
    assert len(rows) == 10
    assert all("::test_" in line for line in rows)
