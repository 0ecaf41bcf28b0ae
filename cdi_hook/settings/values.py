"""Our settings: where they are, their defaults, and the plain subset of YAML that needs no parser. Row 3, hot.

A settings file of a few plain lines is read here; anything else that YAML can say goes to ``settings/file``, which also has the rows
that describe each setting. What the sh launcher recognises is a part of the plain shape, with the same meaning.
"""

from __future__ import annotations

import posix

from cdi_hook import memory
from cdi_hook.errors import RuntimeNotFoundError, SettingsError, os_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdi_hook.errors import CdiError
    from cdi_hook.model import Settings

DIRECTORY = "/etc/cdi-hook"
VARIABLE = b"CDI_HOOK_CONFIG"
"""The environment variable that names a settings file; it beats the name by which we are called."""
LINK_PREFIX = "cdi-runtime-"
"""Called as ``cdi-runtime-NAME``, the wrapper reads ``NAME.yaml``: engines pass a handler's runtime no arguments."""

DEFAULTS: Settings = {
    "enabled": True,
    "runtime": "",
    "specDirs": ["/etc/cdi", "/var/run/cdi"],
    "log.file": "",
    "log.level": "info",
    "log.format": "json",
    "requests.annotations": ["cdi.k8s.io/", "nvidia.cdi.k8s.io/"],
    "requests.environment": [],
    "requests.mounts": False,
    "requests.selectors": False,
    "requests.sandboxes": False,
    "harden.hookEnv": True,
    "harden.fileMode": True,
    "harden.mountType": True,
    "harden.nodeMount": True,
    "harden.capabilities": True,
    "stale": "fail",
    "hook.tooLate": "fail",
}
"""Every setting by dotted key. ``ROWS`` of ``settings/file`` says what each means."""

_RUNTIMES = ("runc", "crun")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+-")
_CHOICES = {
    "log.level": ("debug", "info", "warning", "error"),
    "log.format": ("json", "text"),
    "stale": ("fail", "warn", "ignore"),
    "hook.tooLate": ("fail", "warn"),
}
_GROUPS = frozenset(key.partition(".")[0] for key in DEFAULTS if "." in key)
_LARGEST = 1 << 20


def locate(invoked_as: str, environ: Mapping[bytes, bytes]) -> tuple[str, bool]:
    """``(file, named)``: the settings file, and whether somebody named it, so that it must be there.

    >>> locate("/usr/local/bin/cdi-runtime-gpu", {})
    ('/etc/cdi-hook/gpu.yaml', True)
    """
    named = environ.get(VARIABLE)
    if named is not None:
        return named.decode("utf-8", "surrogateescape"), True
    name = invoked_as.rpartition("/")[2]
    if name.startswith(LINK_PREFIX):
        return f"{DIRECTORY}/{name[len(LINK_PREFIX) :]}.yaml", True
    return f"{DIRECTORY}/config.yaml", False


def read(file: str, named: bool) -> tuple[Settings, CdiError | None]:
    """The settings, every key present, and what is wrong with the file, if anything is.

    Of a file with a fault, ``runtime`` is there if it can be read, and everything else has its default: that is enough to kill a
    container, and only ``create``, ``run`` and ``restore`` are refused. Never raises.
    """
    try:
        data = _bytes(file)
    except FileNotFoundError:
        return dict(DEFAULTS), _fault(file, "does not exist") if named else None
    except OSError as error:
        return dict(DEFAULTS), _fault(file, f"cannot be read: {os_words(error)}")
    except ValueError as error:
        return dict(DEFAULTS), _fault(file, str(error))
    found = plain(data)
    return (found, None) if found is not None else _cold_read(data, file)


def plain(data: bytes) -> Settings | None:
    """The settings of a text of the plain shape, None for any other.

    Plain are comments, ``key: value`` and, below the name of a group, ``  key: value`` indented by two blanks; each key once; values
    that are ``true`` or ``false``, a word of the setting's choice, a path of unsuspicious characters, or ``[one, two]`` of such.
    """
    found = dict(DEFAULTS)
    seen = set()
    group = ""
    empty = False
    for line in data.decode("latin-1").split("\n"):
        if not line.isascii() or (line and not line.isprintable()):
            return None
        if not line or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if "." in key:
            return None
        if key.startswith("  "):
            key, empty = f"{group}.{key[2:]}", False
        elif empty:
            return None  # to YAML, a group with nothing in it is null
        elif key in _GROUPS and not value:
            group, empty = key, True
        else:
            group = ""
        if key in seen or not colon:
            return None
        seen.add(key)
        if key != group and not _take(found, key, value):
            return None
    return None if empty else found


def _take(found: Settings, key: str, value: str) -> bool:
    """Put one plain value into the settings; False when it is not plain."""
    default = DEFAULTS.get(key)
    if default is None or value[:1] != " ":
        return False
    value = value[1:]
    if isinstance(default, bool):
        if value not in ("true", "false"):
            return False
        found[key] = value == "true"
    elif isinstance(default, list):
        items = value[1:-1].split(", ")
        if value[:1] != "[" or value[-1:] != "]" or not all(_is_plain(item, key) for item in items):
            return False
        found[key] = items
    elif value in _CHOICES[key] if key in _CHOICES else _is_plain(value, key):
        found[key] = value
    else:
        return False
    return True


def _is_plain(text: str, key: str) -> bool:
    """Whether a text is certainly itself to YAML, and allowed here."""
    if not _PLAIN.issuperset(text):
        return False
    if key == "requests.environment":
        # With an underscore, it is neither a number nor one of YAML's many words for true.
        return text[:1].isalpha() and "_" in text and text.replace("_", "").isalnum()
    if key == "requests.annotations":
        return text[:1].isalpha() and text.count("/") == 1 and "+" not in text
    return text.startswith("/")


def find_runtime(settings: Settings, self_path: str, environ: Mapping[bytes, bytes]) -> str:
    """The real runtime's absolute path: as set, else the first of runc and crun on PATH that is not ``self_path``.

    Raises RuntimeNotFoundError when there is none.
    """
    if settings["runtime"]:
        return str(settings["runtime"])
    search = environ.get(b"PATH", _PATH.encode()).decode("utf-8", "surrogateescape")
    ours = _program(self_path)
    for name in _RUNTIMES:
        for directory in search.split(":"):
            path = f"{directory}/{name}"
            if directory.startswith("/") and posix.access(path, posix.X_OK) and _program(path) not in (None, ours):
                return path
    reason = f"neither {' nor '.join(_RUNTIMES)} is on PATH ({search})"
    raise RuntimeNotFoundError(reason, field="runtime", fix="install one, or set runtime: to its absolute path")


def _program(path: str) -> tuple[int, int] | None:
    """Device and inode of a regular file; a directory can be "executable", too."""
    try:
        stat = posix.stat(path)
    except (OSError, ValueError):
        return None
    return (stat.st_dev, stat.st_ino) if stat.st_mode & memory.S_IFMT == memory.S_IFREG else None


def _bytes(file: str) -> bytes:
    fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    try:
        if posix.fstat(fd).st_mode & memory.S_IFMT != memory.S_IFREG:
            raise ValueError("is not a regular file")
        data = b""
        while True:
            more = posix.read(fd, 1 << 16)
            if not more:
                return data
            data += more
            if len(data) > _LARGEST:
                raise ValueError("is larger than 1 MiB")
    finally:
        posix.close(fd)


def _fault(file: str, reason: str) -> SettingsError:
    if not file:
        return SettingsError("is empty, and names no settings file", field="CDI_HOOK_CONFIG", fix="unset it, or let it name one")
    return SettingsError(f"settings file {reason}", file=file, fix="mend it, or point CDI_HOOK_CONFIG to another")


def _cold_read(data: bytes, file: str) -> tuple[Settings, CdiError | None]:
    from cdi_hook.settings.file import read

    return read(data, file, DEFAULTS)
