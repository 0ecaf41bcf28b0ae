"""The log of the cold modules: the same lines as the hot path writes by itself."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.audit import log
from cdi_hook.oci import bundle
from cdi_hook.settings import values

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    log.setup(values.DEFAULTS)


def of(file: Path, **more: Any) -> dict[str, Any]:
    return {**values.DEFAULTS, "log.file": str(file), **{key.replace("_", "."): value for key, value in more.items()}}


MESSAGES = ["plain", 'with "quotes" and \\', "two\nlines", "ä and \U0001f600", "a lone \udcff surrogate", "\x1b[31mred", "100 %s %d"]


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
@pytest.mark.parametrize("message", MESSAGES)
def test_both_ways_write_the_same_line(tmp_path: Path, form: str, level: str, message: str) -> None:
    hot, cold = tmp_path / "hot", tmp_path / "cold"
    bundle.log(of(hot, log_format=form, log_level="debug"), level, message)
    log.setup(of(cold, log_format=form, log_level="debug")).log(logging.getLevelName(level.upper()), message)
    first, second = (TIME.sub("TIME", path.read_text()) for path in (hot, cold))
    assert first == second
    assert first.count("TIME") == 1
    assert first.count("\n") == 1


@pytest.mark.parametrize("wanted", ["debug", "info", "warning", "error"])
def test_both_ways_leave_out_the_same_levels(tmp_path: Path, wanted: str) -> None:
    logger = log.setup(of(tmp_path / "cold", log_level=wanted))
    for level in ("debug", "info", "warning", "error"):
        bundle.log(of(tmp_path / "hot", log_level=wanted), level, level)
        logger.log(logging.getLevelName(level.upper()), level)
    first, second = (TIME.sub("", (tmp_path / name).read_text()) for name in ("hot", "cold"))
    assert first == second


def test_a_line_of_json(tmp_path: Path) -> None:
    log.setup(of(tmp_path / "log")).warning("no %s", "device", extra={"device": "acme.com/gpu=0"})
    line = json.loads((tmp_path / "log").read_text())
    assert TIME.fullmatch(line.pop("time"))
    assert line == {"level": "warning", "msg": "no device", "device": "acme.com/gpu=0"}


def test_a_traceback_is_part_of_its_line(tmp_path: Path) -> None:
    for form in ("json", "text"):
        logger = log.setup(of(tmp_path / form, log_format=form))
        try:
            raise KeyError("x")
        except KeyError:
            logger.exception("failed")
        text = (tmp_path / form).read_text()
        assert text.count("\n") == 1
        assert "KeyError: 'x'" in text
    assert "Traceback" in json.loads((tmp_path / "json").read_text())["exc_info"]


def test_lines_are_appended(tmp_path: Path) -> None:
    for _ in range(2):
        log.setup(of(tmp_path / "log", log_format="text")).info("again")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_nothing_reaches_other_loggers(caplog: pytest.LogCaptureFixture) -> None:
    log.setup(values.DEFAULTS).error("hidden")
    assert caplog.records == []


@pytest.mark.parametrize("name", ["gone/log", "fifo", "."])
def test_a_log_that_cannot_be_opened_is_done_without(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    log.setup(of(tmp_path / name)).error("lost")
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_done_without(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup(of(Path("/dev/full"))).error("lost")
    assert capfd.readouterr() == ("", "")
