"""The error for a request whose devices cannot be resolved. Row 4, cold: loaded only when a request fails.

CDI specification 1.1.0, "Error Handling". One error for all names: which are unknown and which in conflict, the nearest known names,
files that may define them but do not load, and where the search was.
"""

from __future__ import annotations

import os
import stat

from cdi_hook.cdi.names import qualified_name, quoted, split_device
from cdi_hook.errors import CdiError, ConflictError, UnresolvedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_NAMES = 100
_MOST_FILES = 3
_MOST_NEAR = 3
"""What a message has room for."""

_NEAR_FOR = 5
_LIKE = 0.6
"""How much of two names must be the same, as difflib counts it."""

_NEAR_AMONG = 2000
"""For how many unknown names, and among how many known ones, near names are looked for: the comparison is slow."""

_MOST_BYTES = 32 << 20
"""How much of a file that does not load is looked at; no spec is larger."""


def explain(
    names: Iterable[str],
    *,
    known: Sequence[str],
    dirs: Sequence[str],
    errors: dict[str, list[CdiError]],
    conflicts: dict[str, list[str]],
) -> CdiError:
    """The error for names that do not resolve: ConflictError when conflicts alone are the cause, else UnresolvedError.

    ``known``: the usable devices; ``dirs``: the spec directories; ``errors``: faults by path of file or directory; ``conflicts``: files
    that define the same device, by its name.
    """
    unknown, clashing = _split(names, conflicts)
    sentences = [f"{_listed([quoted_if_odd(name) for name in unknown])} {_are(unknown)} not known"] if unknown else []
    sentences += [f"{name} cannot be used: {_listed(conflicts[name], last='and')} define it alike" for name in clashing[:_MOST_FILES]]
    if len(clashing) > _MOST_FILES:
        sentences.append(f"the same is true of {_listed(clashing[_MOST_FILES:])}")
    if not unknown:
        return ConflictError("; ".join(sentences), fix="remove all but one of the definitions")
    suspects = _suspects(unknown, dirs, errors)
    for path, fault in suspects[:_MOST_FILES]:
        sentences.append(f"{path}, which may define {'it' if len(unknown) == 1 else 'them'}, does not load: {_without_file(fault)}")
    rest = [path for path, _ in suspects[_MOST_FILES:]]
    if rest:
        sentences.append(f"nor {'does' if len(rest) == 1 else 'do'} {_listed(rest)}")
    near = _near(unknown, known)
    if near:
        sentences.append(f"near names: {_listed(near)}")
    elif not known:
        sentences.append("no device is known at all")
    sentences.append(f"searched: {_listed([_searched(path, errors) for path in dirs]) or 'no directory'}")
    fix = f"run cdi-hook validate {suspects[0][0]}" if suspects else ""
    return UnresolvedError("; ".join(sentences), names=unknown + clashing, fix=fix)


def quoted_if_odd(name: str) -> str:
    """A name for a list of names: in quotes when it is no qualified name, and cut when it is long."""
    return name if all(split_device(name)) and name.isprintable() and " " not in name and len(name) < _MOST_NAMES else quoted(name)


def _split(names: Iterable[str], conflicts: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """Unknown names and names in conflict, each once, in the order of the request."""
    each = list(dict.fromkeys(names))
    return [name for name in each if name not in conflicts], [name for name in each if name in conflicts]


def _suspects(unknown: Iterable[str], dirs: Sequence[str], errors: dict[str, list[CdiError]]) -> list[tuple[str, CdiError]]:
    """Files that do not load and may define one of these names, each with its first fault."""
    vendors = {vendor for vendor, _, _ in map(split_device, unknown) if vendor}
    found = []
    for path, faults in errors.items():
        fault = next((fault for fault in faults if not isinstance(fault, ConflictError)), None)
        if fault is not None and path not in dirs and vendors and _may_define(path, vendors):
            found.append((path, fault))
    return found


def _may_define(path: str, vendors: Iterable[str]) -> bool:
    """A guess: the file's name or text mentions a vendor, or nobody can tell because it cannot be read."""
    file_name = os.path.basename(path).lower()
    if any(vendor.partition(".")[0].lower() in file_name for vendor in vendors):
        return True
    text = _text(path)
    # Without zero bytes, what was written as UTF-16 can be searched too.
    return text is None or any(vendor.encode("utf-8", "surrogatepass") in text for vendor in vendors)


def _text(path: str) -> bytes | None:
    """The bytes of a plain file, zero bytes left out; None when it cannot be read. Never waits for a FIFO's writer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    try:
        # Looked at before it becomes a file object, which Python refuses to make of a directory.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(_MOST_BYTES).replace(b"\0", b"")
    except OSError:
        return None
    finally:
        os.close(fd)


def _near(unknown: Sequence[str], known: Sequence[str]) -> list[str]:
    """Known names that look like the unknown ones, the nearest first; case does not count."""
    from difflib import SequenceMatcher

    found: dict[str, tuple[float, float]] = {}
    for name in unknown[:_NEAR_FOR]:
        vendor, class_, device = split_device(name)
        start = qualified_name(vendor, class_, "")
        # Of the same kind if there are any; a name without kind is held against the devices' own names.
        pool = [each for each in known if each.startswith(start)] if vendor else []
        pool = (pool or list(known))[:_NEAR_AMONG]
        whole, own = SequenceMatcher(), SequenceMatcher()
        whole.set_seq2((name if vendor else device).lower())
        own.set_seq2(device.lower())
        for each in pool:
            part = split_device(each)[2].lower()
            whole.set_seq1(each.lower() if vendor else part)
            if whole.real_quick_ratio() >= _LIKE and whole.quick_ratio() >= _LIKE and whole.ratio() >= _LIKE:
                own.set_seq1(part)
                found[each] = max(found.get(each, (0.0, 0.0)), (own.ratio(), whole.ratio()))
    # Of one kind all are alike but for the device's own name; of equal ones the order of names decides.
    return sorted(found, key=lambda each: (-found[each][0], -found[each][1], each))[:_MOST_NEAR]


def _searched(directory: str, errors: dict[str, list[CdiError]]) -> str:
    if directory in errors:
        return f"{directory} ({errors[directory][0].reason})"
    return directory if os.path.isdir(directory) else f"{directory} (missing)"


def _without_file(fault: CdiError) -> str:
    place = f"line {fault.line}" if fault.line else ""
    return ": ".join(part for part in (place, fault.field, fault.reason) if part)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: Sequence[str], *, last: str = "") -> str:
    """``a, b, c``, with ``last`` as the word before the last; only counted beyond what a message has room for."""
    shown, rest = list(names[:_MOST_NAMES]), len(names) - _MOST_NAMES
    if rest > 0:
        return f"{', '.join(shown)} and {rest} more"
    if last and len(shown) > 1:
        return f"{', '.join(shown[:-1])} {last} {shown[-1]}"
    return ", ".join(shown)
