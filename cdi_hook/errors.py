"""Every error that we raise, one family. Row 1, hot: imports nothing.

An error is made low with its reason, gains file and field on the way up, and is printed by the entry point alone. The subclass says
whose problem it is; the text is always ``FILE[:LINE]: FIELD: REASON; FIX`` on one line.

To make a class costs as much at start as to read a file, so the classes that no hot module raises are rows of a table (`_ON_DEMAND`)
until somebody asks for them by name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 5
"""How many faults an entry point joins into its one line before it only counts."""


class CdiError(Exception):
    """Something that a person has to mend.

    Attributes: ``reason`` (what is wrong), ``file`` (path, may be empty), ``line`` (from 1; 0: unknown), ``field`` (path of the
    field, such as ``devices[2].name``), ``fix`` (what to do about it, may be empty).

    >>> str(CdiError("is empty", file="/etc/cdi/a.yaml", line=3, field="kind", fix="write vendor.com/class"))
    '/etc/cdi/a.yaml:3: kind: is empty; write vendor.com/class'
    """

    lines: tuple[str, ...] = ()
    """What the fix asks to write, for a command line to print below the message."""

    def __init__(self, reason: str, *, file: str = "", line: int = 0, field: str = "", fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.line = line
        self.field = field
        self.fix = fix

    def __str__(self) -> str:
        place = self.file and (f"{self.file}:{self.line}" if self.line else self.file)
        text = ": ".join(part for part in (place, self.field, self.reason) if part)
        return one_line(f"{text}; {self.fix}" if self.fix else text)


class SpecError(CdiError):
    """A CDI spec file is wrong: its vendor's problem."""


class NameSyntaxError(CdiError):
    """A device, vendor or class name breaks the grammar: the caller's problem."""


class SettingsError(CdiError):
    """Our own configuration is wrong: the administrator's problem."""


class StaleError(SpecError):
    """A spec no longer describes this host: the problem of whoever generates it. ``device``: whose edits (empty: the spec's own)."""

    def __init__(self, reason: str, *, file: str = "", line: int = 0, field: str = "", fix: str = "", device: str = "") -> None:
        super().__init__(reason, file=file, line=line, field=field, fix=fix)
        self.device = device


class BundleError(CdiError):
    """The bundle or its ``config.json`` cannot be used: the engine's problem."""


class RuntimeNotFoundError(CdiError):
    """The real runtime is missing, not executable, or ourselves: the administrator's problem."""


class FaultsError(CdiError):
    """Several faults at once; ``faults`` has them all. The text joins the first five with ``; `` and counts the rest."""

    def __init__(self, faults: Iterable[CdiError]) -> None:
        self.faults = list(faults)
        super().__init__(join(self.faults))

    def __str__(self) -> str:
        return self.reason


_ON_DEMAND: dict[str, tuple[str, tuple[str, ...], str]] = {
    "VersionError": ("SpecError", (), "``cdiVersion`` is unknown, or older than the features that the spec uses."),
    "UnresolvedError": (
        "CdiError",
        ("names",),
        "A request names devices that no spec defines: the caller's problem. ``names``: all of them, in the order of the request.",
    ),
    "ConflictError": ("CdiError", (), "Two specs of one directory define one device: the administrator's problem."),
    "EngineError": ("CdiError", (), "A container engine or its configuration is not as we need it."),
    "KernelError": ("CdiError", ("syscall", "errno"), "The host's kernel refused. ``syscall``: its name; ``errno``: the number."),
}
"""The errors of cold modules, each with its base class, the attributes that it has besides, and its docstring."""

if TYPE_CHECKING:
    # The same for the type checker; a test holds both to each other.
    class VersionError(SpecError): ...

    class UnresolvedError(CdiError):
        names: list[str]

        def __init__(self, reason: str, *, names: list[str], fix: str = "") -> None: ...

    class ConflictError(CdiError): ...

    class EngineError(CdiError): ...

    class KernelError(CdiError):
        syscall: str
        errno: int

        def __init__(self, reason: str, *, syscall: str, errno: int, file: str = "", field: str = "", fix: str = "") -> None: ...

else:

    def __getattr__(name):
        """Make the class that is asked for, once."""
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        base, attributes, text = _ON_DEMAND[name]
        body = {"__module__": __name__, "__doc__": text}
        if attributes:
            body["__init__"] = _with(globals()[base], attributes)
        made = globals()[name] = type(name, (globals()[base],), body)
        return made

    def _with(base, attributes):
        def __init__(self, reason, **given):
            values = {key: given.pop(key) for key in attributes}
            base.__init__(self, reason, **given)
            self.__dict__.update(values)

        return __init__


def join(faults: list[CdiError]) -> str:
    """The one line that an entry point prints for several faults."""
    text = "; ".join(str(fault) for fault in faults[:_SHOWN])
    rest = len(faults) - _SHOWN
    return f"{text}; and {rest} more" if rest > 0 else text


def one_line(text: str) -> str:
    """Keep a message on one line: names and paths in it may come from a container, so control characters are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_OS_WORDS = {
    1: "the kernel does not allow it",
    2: "does not exist",
    6: "has nobody at its other end",
    13: "access is refused",
    20: "a part of the path is no directory",
    21: "is a directory",
    26: "is being executed",
    28: "the disk is full",
    30: "the file system is read-only",
    36: "the name is too long",
    40: "is a loop of symbolic links",
}


def os_words(error: OSError) -> str:
    """What the kernel said, in words that podman does not rewrite: it turns messages that hold "no such file or directory",
    "permission denied" or "operation not permitted" into errors about the container's command."""
    return _OS_WORDS.get(error.errno or 0) or error.strerror or "failed"


def internal(error: BaseException) -> str:
    """What an entry point says of an exception that nobody foresaw."""
    words = os_words(error) if isinstance(error, OSError) else str(error)
    return f"internal error, please report it: {type(error).__name__}: {words}"
