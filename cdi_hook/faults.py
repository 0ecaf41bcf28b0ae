"""The errors that no hot room raises: making a class costs as much at start as reading a file. Layer 0, cold.

They are names of ``errors`` like the others, which fetches them when they are first asked for.
"""

from __future__ import annotations

from cdi_hook.errors import CdiError, SpecError


class VersionError(SpecError):
    """``cdiVersion`` is unknown, or older than the features that the spec uses."""

    __module__ = "cdi_hook.errors"


class UnresolvedError(CdiError):
    """A request names devices that no spec defines: the caller's problem. ``names``: all of them, in the order of the request."""

    __module__ = "cdi_hook.errors"

    def __init__(self, reason: str, *, names: list[str], fix: str = "") -> None:
        super().__init__(reason, fix=fix)
        self.names = names


class ConflictError(CdiError):
    """Two specs of one directory define one device: the administrator's problem."""

    __module__ = "cdi_hook.errors"


class EngineError(CdiError):
    """A container engine or its configuration is not as we need it."""

    __module__ = "cdi_hook.errors"


class KernelError(CdiError):
    """The host's kernel refused. ``syscall``: its name; ``errno``: the number."""

    __module__ = "cdi_hook.errors"

    def __init__(self, reason: str, *, syscall: str, errno: int, file: str = "", field: str = "", fix: str = "") -> None:
        super().__init__(reason, file=file, field=field, fix=fix)
        self.syscall = syscall
        self.errno = errno
