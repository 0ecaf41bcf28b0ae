"""What an OCI runtime honours, so that nobody is promised what it would drop in silence. Row 2, cold.

Decoders of OCI configs ignore fields that they do not know, so an old runtime starts the container without its net device and says
nothing. Two sources are asked, in this order: ``<runtime> features`` (OCI runtime specification 1.3.0, ``features.md``), then ``<runtime>
--version`` and the table below. The answers are remembered per binary in our runtime directory; without one they are asked each time.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from binascii import crc32
from typing import NamedTuple

from cdi_hook import memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TIMEOUT = 2.0
"""Seconds that a runtime has for all its answers."""

Version = tuple[int, int, int, int]
"""Major, minor, patch, and the number of a release candidate or, for a release, `_RELEASE`."""

_RELEASE = 1 << 30
_LARGEST = 1 << 20
"""Bytes of an answer; more is none."""


class Since(NamedTuple):
    """The first version of a runtime that honours a feature."""

    version: Version
    text: str
    """The release to ask an administrator for."""


def _since(text: str, candidate: int = _RELEASE) -> Since:
    numbers = [int(number) for number in text.split(".")]
    return Since((numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0, candidate), text)


TABLE: dict[str, dict[str, Since]] = {
    "netDevices": {"runc": _since("1.4.0", 1), "crun": _since("1.22"), "youki": _since("0.6.0")},
    "intelRdt.schemata": {"runc": _since("1.4.0", 2), "crun": _since("1.22"), "youki": _since("0.7.0")},
    "intelRdt.enableMonitoring": {"runc": _since("1.4.0", 2), "crun": _since("1.24"), "youki": _since("0.7.0")},
    "mount.idmap": {"runc": _since("1.2.0"), "crun": _since("1.4")},
    "mount.ridmap": {"runc": _since("1.2.0"), "crun": _since("1.9")},
}
"""Feature -> runtime -> since when. A runtime of this table that is missing in a row has never had the feature."""

_RUNTIMES = ("runc", "crun", "youki")

_ANSWERS = {
    "netDevices": ("netDevices", "enabled"),
    "intelRdt.schemata": ("intelRdt", "schemata"),
    "intelRdt.enableMonitoring": ("intelRdt", "monitoring"),
    "mount.idmap": ("mountExtensions", "idmap", "enabled"),
}
"""Where the answer stands below ``linux`` in what ``features`` prints."""

_VERSION = re.compile(r"^(runc|crun|youki) version:? v?(\d+)\.(\d+)(?:\.(\d+))?(?:-rc\.?(\d+))?", re.MULTILINE)
"""Also in the answer of a wrapper of another vendor, which lets the runtime behind it speak below."""


class Facts(NamedTuple):
    """What is known of one binary."""

    version: str
    """Such as ``runc 1.1.5``; empty when it is no runtime that we know."""
    supports: dict[str, bool]
    """Feature -> whether it is honoured; what nobody can tell is left out."""


def supports(runtime: str, feature: str) -> bool | None:
    """Whether the runtime at this absolute path honours the feature, a key of `TABLE`; None when nobody can tell. Never raises OSError."""
    return facts(runtime).supports.get(feature)


def needed(runtime: str, feature: str) -> str:
    """Which runtimes have the feature, for a message: ``runc 1.4.0 or crun 1.22 (this is runc 1.1.5)``."""
    text = " or ".join(f"{name} {TABLE[feature][name].text}" for name in _RUNTIMES[:2])
    version = facts(runtime).version
    return f"{text} (this is {version})" if version else text


def facts(runtime: str) -> Facts:
    """All that is known of the runtime at this absolute path: remembered, else asked."""
    try:
        binary = os.stat(runtime)
    except (OSError, ValueError):
        return Facts("", {})
    identity = [runtime, binary.st_dev, binary.st_ino, binary.st_size, binary.st_mtime_ns]
    home, memo = memory.home_directory(), _memo(runtime)
    found = _recall(home, memo, identity)
    if found is None:
        found = ask(runtime)
        if found.version or found.supports:
            known = {"binary": identity, "version": found.version, "supports": found.supports}
            memory.keep(home, memo, json.dumps(known).encode())
    return found


def ask(runtime: str) -> Facts:
    """Ask the runtime itself, both questions at once, so that one that is not answered leaves the other its time."""
    deadline = time.monotonic() + TIMEOUT
    processes = [_start(runtime, argument) for argument in ("features", "--version")]
    printed = [_answer(process, deadline) for process in processes]
    answers = _features(printed[0])
    family, numbers, text = _version(printed[1])
    known: dict[str, bool] = {}
    for feature, row in TABLE.items():
        if feature in answers:
            known[feature] = answers[feature]
        elif family:
            known[feature] = family in row and numbers >= row[family].version
    return Facts(text, known)


def _features(text: str) -> dict[str, bool]:
    """What a ``features`` document says outright."""
    try:
        document: Any = json.loads(text)
    except ValueError:
        return {}
    found: dict[str, bool] = {}
    for feature, path in _ANSWERS.items():
        value = _member(document, "linux", *path)
        if isinstance(value, bool):
            found[feature] = value
    options = _member(document, "mountOptions")
    if isinstance(options, list) and "ridmap" in options:
        # The list is of names that are recognised; that one is missing says nothing, since runtimes differ in what they list.
        found["mount.ridmap"] = True
    return found


def _member(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _version(text: str) -> tuple[str, Version, str]:
    """Runtime, version, and both as text, of what ``--version`` prints; an empty runtime when it is none that we know."""
    match = _VERSION.search(text)
    if match is None:
        return "", (0, 0, 0, 0), ""
    family, major, minor, patch, candidate = match.groups()
    numbers = (int(major), int(minor), int(patch or 0), int(candidate) if candidate else _RELEASE)
    text = f"{family} {major}.{minor}" + (f".{patch}" if patch else "") + (f"-rc.{candidate}" if candidate else "")
    return family, numbers, text


def _start(runtime: str, argument: str) -> subprocess.Popen[bytes] | None:
    """Start the runtime in a session of its own, with nothing of ours but the environment; None when it cannot be started."""
    try:
        return subprocess.Popen(
            [runtime, argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None


def _answer(process: subprocess.Popen[bytes] | None, deadline: float) -> str:
    """What it prints on standard output; empty when it fails, talks too long or says too much. All of its session is killed."""
    if process is None:
        return ""
    assert process.stdout is not None
    try:
        data = _read(process.stdout.fileno(), deadline)
        answered = bool(data) and _ends(process.pid, deadline)
    finally:
        process.stdout.close()
        # While its number is still taken, so that nobody else's session can have it.
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    return data.decode("utf-8", "replace") if answered and status == 0 else ""


def _ends(pid: int, deadline: float) -> bool:
    """Whether this child ends in time; it is not reaped."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _read(fd: int, deadline: float) -> bytes:
    """All up to the end of the stream; nothing when that does not come in time or too much comes."""
    data = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while len(data) <= _LARGEST:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            break
        more = os.read(fd, 1 << 16)
        if not more:
            return data
        data += more
    return b""


def _memo(runtime: str) -> str:
    """The name of the file in which the facts about a binary are remembered."""
    return f"features-{crc32(os.fsencode(runtime)):08x}.json"


def _recall(home: str, memo: str, identity: list[Any]) -> Facts | None:
    """What is remembered of exactly this binary; None for nothing, and for whatever does not check out."""
    if not memory.is_ours(os.stat, home, memory.S_IFDIR):
        return None
    try:
        fd = os.open(f"{home}/{memo}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not memory.is_ours(os.fstat, fd, memory.S_IFREG):
            return None
        value = json.loads(os.read(fd, _LARGEST))
        version, known = value["version"], value["supports"]
        if value["binary"] != identity or not isinstance(version, str):
            return None
        return Facts(version, {feature: known[feature] for feature in TABLE if isinstance(known.get(feature), bool)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    finally:
        os.close(fd)
