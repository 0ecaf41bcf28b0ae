"""What all engines share: the request, the host, plans of file changes, and safe reading. Row 4, cold.

An engine module describes one container engine as an ``ENGINE`` object: where its configuration is, which bytes it should hold, how to
remove only our part of it, and how the engine itself checks the result. Nothing here writes; ``journal`` does.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass, field
from typing import Any

from cdi_hook.errors import CdiError, EngineError, one_line, os_words

MAX_BYTES = 1 << 20
"""The largest configuration file that is edited. Real ones have some kilobytes."""

SECONDS = 15
"""How long an engine may take to check its configuration or to say its version."""

WRAPPER = "cdi-runtime"
_BUILT_IN = ("runc", "crun")
_BARE_LF = re.compile(r"(?<!\r)\n")
_HANDLER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")


@dataclass(frozen=True)
class Request:
    """What ``configure`` was asked for; the fields are its options."""

    handler: str = "cdi"
    config: str = ""
    runtime: str = ""
    set_default: bool = False
    stage: str = ""
    """``createRuntime`` or ``precreate``: hooks instead of a handler; empty: a handler."""
    pod_annotations: bool = False


@dataclass(frozen=True)
class Site:
    """This host, as the entry point found it. Tests give it a ``root`` of their own."""

    wrapper: str
    """Absolute path of ``cdi-runtime`` (unresolved: an upgrade switches what it links to)."""
    settings: str = "/etc/cdi-hook/config.yaml"
    state: str = "/var/lib/cdi-hook"
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    root: str = ""
    uid: int = 0
    home: str = "/root"
    prefixes: tuple[str, ...] = ("cdi.k8s.io/", "nvidia.cdi.k8s.io/")
    """``requests.annotations`` of the settings."""
    hooks: str = ""
    """Directory with the package's own hooks.d files."""
    environ: dict[str, str] = field(default_factory=dict)

    def at(self, path: str) -> str:
        """A well-known path, below ``root``."""
        return self.root + path

    def program(self, name: str) -> str:
        """Absolute path of a program, or empty."""
        return shutil.which(name, path=self.path) or ""

    def ask(self, *argv: str) -> tuple[int, str]:
        """Run a command of an engine: (exit status, all of its output). 127 when it cannot be started, 124 when it takes too long."""
        env = {**self.environ, "PATH": self.path, "HOME": self.home, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return 124, f"no answer within {SECONDS} s"
        except OSError as error:
            return 127, os_words(error)
        return done.returncode, done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True)
class Change:
    """One file before and after.

    ``old``, ``new``: bytes, None for a file that is not there. ``mode``: permission bits of ``new``. ``link``: ``new`` is the target of a
    symbolic link. ``kind``: ``engine``, ``settings``, ``link``, ``hook`` or ``backup``.
    """

    path: str
    old: bytes | None
    new: bytes | None
    kind: str = "engine"
    mode: int = 0o644
    uid: int = -1
    gid: int = -1
    link: bool = False

    def diff(self) -> str:
        """A unified diff of this change, in the form that ``patch -p0`` takes; a link is one sentence."""
        if self.link:
            return f"link {self.path} -> {os.fsdecode(self.new or b'(removed)')}\n"
        old, new = (_lines(data) for data in (self.old, self.new))
        before, after = ("/dev/null" if data is None else self.path for data in (self.old, self.new))
        return "".join(difflib.unified_diff(old, new, before, after))


def _lines(data: bytes | None) -> list[str]:
    lines = (data or b"").decode("utf-8", "replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines


@dataclass
class Plan:
    """What ``configure`` would do: nothing is written yet."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for the administrator."""
    old: dict[str, Any] = field(default_factory=dict)
    """What was there and has to come back: the old default runtime (None: the key was absent)."""
    uses: list[str] = field(default_factory=list)
    """Paths that this handler needs: its settings file and its link."""
    config: str = ""
    """The file that the engine reads first."""


@dataclass
class Handler:
    """One handler of ours in an engine's configuration."""

    name: str
    path: str
    """The wrapper that the engine calls."""
    file: str
    default: bool = False
    annotations: list[str] = field(default_factory=list)
    pod_annotations: list[str] = field(default_factory=list)


@dataclass
class Status:
    """An engine on this host, as ``doctor`` shows it. ``problems``: (what is wrong, the command that mends it)."""

    engine: str
    program: str = ""
    version: str = ""
    config: str = ""
    handlers: list[Handler] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """What could not be found out, and why."""


class Engine:
    """A container engine. Subclasses fill in what differs."""

    name = ""
    program = ""
    restart = ""
    """The command that makes the engine read its configuration again."""
    stages: tuple[str, ...] = ()
    """The hook stages that ``--hook`` can use; the first is the default."""
    no_hook = ""
    """Why there is no ``--hook``."""

    def version(self, site: Site) -> str:
        """``1.6.20``, or empty when the engine is not installed or does not say."""
        program = site.program(self.program)
        if not program:
            return ""
        match = re.search(r"\d+\.\d+(?:\.\d+)?(?:-[a-z]+\.?\d*)?", self.version_text(site, program))
        return match[0] if match else ""

    def version_text(self, site: Site, program: str) -> str:
        """The text that holds the version."""
        return site.ask(program, "--version")[1]

    def config(self, site: Site, request: Request) -> str:
        """The file that the engine reads first: ``--config`` or the usual place."""
        raise NotImplementedError

    def own_runtime(self, site: Site, request: Request) -> str:
        """Absolute path or name of the runtime that the engine uses now; never ourselves; empty when that cannot be told."""
        raise NotImplementedError

    def plan(self, site: Site, request: Request, wrapper: str) -> Plan:
        """The changes of the engine's own files that make ``wrapper`` the handler. Raises EngineError, with the file untouched."""
        raise NotImplementedError

    def strip(self, site: Site, path: str, data: bytes, handler: str, old: dict[str, Any]) -> bytes | None:
        """``data`` of ``path`` without our handler (None: nothing else is in the file). Unchanged when there is none of ours."""
        raise NotImplementedError

    def check(self, site: Site, config: str, handler: str) -> str:
        """Let the engine check its configuration: how it was checked, or empty when it cannot.

        ``handler``: one that the engine has to know; empty after an undo. Raises EngineError with the engine's answer.
        """
        raise NotImplementedError

    def hooks_dirs(self, site: Site, request: Request) -> list[str]:
        """The directories in which the engine looks for OCI hooks."""
        return []

    def status(self, site: Site, request: Request) -> Status:
        """What ``doctor`` wants to know. Raises EngineError when the configuration cannot be read."""
        raise NotImplementedError


def check_handler(name: str) -> None:
    """Raise EngineError unless ``name`` can be a handler, a file name and a Kubernetes RuntimeClass handler."""
    if not _HANDLER.match(name):
        reason = f'"{one_line(name)}" is no name for a handler'
        raise EngineError(reason, field="--handler", fix="use letters, digits, -, _ and ., at most 63")
    if name in _BUILT_IN or name.startswith("io.containerd."):
        reason = f'"{name}" is a runtime of the engines themselves'  # dockerd does not start with it, podman's own would be lost
        raise EngineError(reason, field="--handler", fix="choose another name; --set-default makes it the one that is used")
    if name == "config":
        raise EngineError('"config" is the settings file of all handlers', field="--handler", fix="choose another name")


def ours(path: object) -> bool:
    """Is this the path of our wrapper, or of one of its links?"""
    if not isinstance(path, str):
        return False
    name = os.path.basename(path)
    return name == WRAPPER or name.startswith(WRAPPER + "-")


def read(path: str, *, option: str = "--config") -> bytes | None:
    """The bytes of a configuration file; None when it is missing.

    Raises EngineError for a symbolic link (its directory may be another program's), for what is no regular file, is larger than
    ``MAX_BYTES``, is not UTF-8 or cannot be read.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(f"cannot be read: {os_words(error)}", file=path) from None
    if stat.S_ISLNK(found.st_mode):
        target = os.path.realpath(path)
        raise EngineError(f"is a symbolic link to {target}", file=path, fix=f"name the file itself: {option} {target}")
    if not stat.S_ISREG(found.st_mode):
        raise EngineError("is not a regular file", file=path)
    if found.st_size > MAX_BYTES:
        raise EngineError(f"has {found.st_size} bytes; files of more than {MAX_BYTES} are not edited", file=path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise EngineError(f"cannot be read: {os_words(error)}", file=path) from None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise EngineError("is not UTF-8 text", file=path, line=line) from None
    return data


def change(path: str, old: bytes | None, new: bytes | None, kind: str = "engine", mode: int = 0o644) -> list[Change]:
    """No change, or one that keeps the mode and owner that the file has."""
    if old == new:
        return []
    if old is not None:
        found = os.lstat(path)
        return [Change(path, old, new, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)]
    return [Change(path, old, new, kind, mode)]


def existing(site: Site, request: Request, usual: str) -> tuple[str, bytes | None]:
    """(path, bytes) of the file that ``--config`` names, or of the usual one. Raises EngineError when a named file is missing."""
    path = os.path.abspath(request.config) if request.config else site.at(usual)
    data = read(path)
    if data is None and request.config:
        raise EngineError("is missing", file=path, field="--config", fix="name the file that the engine reads")
    return path, data


def with_breaks_of(old: str, new: str) -> str:
    """``new`` with CRLF line breaks throughout when ``old`` has only those: a bare LF in it is then one of ours."""
    crlf = "\r\n" in old and not _BARE_LF.search(old)
    return _BARE_LF.sub("\r\n", new) if crlf else new


def newer(version: str, than: str) -> bool:
    """Is ``version`` the same as ``than`` or newer? False when it is unknown."""
    return bool(version) and _numbers(version) >= _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def hook_key(stage: str) -> str:
    """What the journal calls a hook in place of a handler."""
    return f"hook:{stage}"


def patterns(site: Site) -> list[str]:
    """The annotation prefixes as containerd's patterns."""
    return [prefix + "*" for prefix in site.prefixes]


def foreign(handler: str, path: object, file: str) -> CdiError:
    """The refusal to take over a handler that calls another program."""
    return EngineError(f"the handler {handler} is there already and calls {path}", file=file, fix="choose another name: --handler NAME")
