"""Our log for cold modules: ``logging`` with the same lines in the same file as ``bundle.log`` writes on the hot path. Row 2, cold.

One line a message, in the form that ``log.format`` names; without ``log.file`` there is no log. A log that cannot be opened or
written is done without: it must never keep a container from starting, nor a command from answering.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time

from cdi_hook.errors import one_line

try:
    from pythonjsonlogger.json import JsonFormatter
except ImportError:  # before its version 3
    from pythonjsonlogger.jsonlogger import JsonFormatter  # type: ignore[attr-defined] # moved since

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.model import Settings

NAME = "cdi_hook"
"""The logger's name: ``logging.getLogger(NAME)`` after `setup`."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Never to block on a FIFO that nobody reads."""


def setup(settings: Settings) -> logging.Logger:
    """The logger, set up as these settings say: file, level, format. May be called again; never raises for what is wrong with the file."""
    logger = logging.getLogger(NAME)
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.propagate = False
    logger.setLevel(settings["log.level"].upper())
    logger.addHandler(_handler(settings["log.file"], settings["log.format"]))
    return logger


def _handler(file: str, form: str) -> logging.Handler:
    if not file:
        return logging.NullHandler()
    try:
        handler = _File(os.open(file, _FLAGS, 0o644))
    except (OSError, ValueError):
        return logging.NullHandler()
    handler.setFormatter(_json_formatter() if form == "json" else _Text())
    return handler


def _json_formatter() -> logging.Formatter:
    compact = functools.partial(json.dumps, separators=(",", ":"))
    return _Json("%(message)s", rename_fields={"message": "msg"}, json_serializer=compact)


class _File(logging.Handler):
    """Appends each line by one write, so that lines of several processes do not mix."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(self._fd, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # A full disk is not a reason to stop.

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


class _Json(JsonFormatter):
    """``{"time":…,"level":…,"msg":…}``; ``exc_info`` and what the caller passes as ``extra`` stand behind."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data.update(time=_time(record), level=record.levelname.lower(), msg=record.getMessage())
        super().add_fields(log_data, record, message_dict)


class _Text(logging.Formatter):
    """``TIME LEVEL MESSAGE``; a traceback follows on the same line."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{_time(record)} {record.levelname.lower()} {one_line(text)}"


def _time(record: logging.LogRecord) -> str:
    """RFC 3339 in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
