"""File changes as one transaction: all of them are written, or none. Row 4, cold.

Each file is replaced at once, with the mode and owner that it had.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from cdi_hook.engines.base import Change
from cdi_hook.errors import EngineError, os_words
from cdi_hook.memory import replace

_READ_ONLY = "is read-only"


def now(change: Change) -> bytes | None:
    """What is at the path now: bytes, the target of a link, or None.

    Raises EngineError when that cannot be read, and for a link where a file was: it would be replaced, and the file behind it stay.
    """
    if not change.link and os.path.islink(change.path):
        reason = f"is a symbolic link to {os.path.realpath(change.path)} now"
        raise EngineError(reason, file=change.path, fix="put the file itself in its place and try again")
    try:
        return os.fsencode(os.readlink(change.path)) if change.link else _bytes(change.path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(f"cannot be read: {os_words(error)}", file=change.path) from None


def _bytes(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def preflight(changes: Iterable[Change]) -> None:
    """Raise EngineError for the first file that could not be written, or is no longer what the change was made for.

    Root may do more than a mode says, but ``r--`` is a wish.
    """
    for change in changes:
        place = change.path
        if now(change) != change.old:
            raise EngineError("was changed meanwhile", file=place, fix="look at it and try again")
        if os.path.lexists(place) and not os.path.islink(place) and not os.stat(place).st_mode & stat.S_IWUSR:
            mode = stat.S_IMODE(os.stat(place).st_mode)
            fix = "is it made by another program? then change it there, else chmod u+w"
            raise EngineError(f"{_READ_ONLY} (mode {mode:04o})", file=place, fix=fix)
        if os.path.lexists(place) and not change.link and not os.access(place, os.W_OK):
            raise EngineError(f"{_READ_ONLY} for this user", file=place, fix="try as root, or mount it writable")
        while not os.path.lexists(place := os.path.dirname(place)):
            pass
        if not os.access(place, os.W_OK):
            raise EngineError("its directory cannot be written", file=change.path, fix="try as root, or mount it writable")


def missing_directories(changes: Iterable[Change]) -> list[str]:
    """Directories that have to be made, outermost first."""
    found: list[str] = []
    for change in changes:
        place = os.path.dirname(change.path)
        chain = []
        while not os.path.lexists(place):
            chain.append(place)
            place = os.path.dirname(place)
        found += [item for item in reversed(chain) if item not in found]
    return found


def write_all(changes: list[Change]) -> None:
    """Write all changes. When one fails, the ones before are taken back and EngineError names the file."""
    preflight(changes)
    made = missing_directories(changes)
    done: list[Change] = []
    try:
        for directory in made:
            os.mkdir(directory, 0o755)
        for change in changes:
            _write(change)
            done.append(change)
    except OSError as error:
        restore(done)
        remove_directories(made)
        reason = "is a mount point" if error.errno == errno.EBUSY else os_words(error)
        raise EngineError(f"cannot be written: {reason}", file=str(error.filename or "")) from None


def restore(changes: list[Change]) -> None:
    """Put back what was there before these changes, the last one first."""
    for change in reversed(changes):
        _write(Change(change.path, change.new, change.old, change.kind, change.mode, change.uid, change.gid, change.link))


def remove_directories(directories: list[str]) -> list[str]:
    """Remove directories that were made for a change, as far as they are empty; the others, outermost first."""
    left = []
    for directory in reversed(directories):
        try:
            os.rmdir(directory)
        except OSError:
            left.append(directory)
    return left[::-1]


def _write(change: Change) -> None:
    try:
        if change.new is None:
            if os.path.lexists(change.path):
                os.unlink(change.path)
        elif change.link:
            _link(change.path, change.new)
        else:
            replace(change.path, change.new, mode=change.mode)
            if change.uid >= 0:
                os.chown(change.path, change.uid, change.gid)
                os.chmod(change.path, change.mode)  # chown takes set-id bits away
    except OSError as error:
        raise OSError(error.errno, error.strerror, change.path) from None


def _link(path: str, target: bytes) -> None:
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.cdi-hook-new")
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)
