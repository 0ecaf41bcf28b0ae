"""A CDI spec file: from bytes to a checked spec, with every fault at once. Row 4, cold.

The verdict is the reference's (``pkg/cdi/spec.go`` and what it calls), the words are ours. Three questions are kept apart, as the
reference asks them: does the text *parse* into the known fields, does the *content* hold, is the *version* high enough for what is used.
Departures are listed in ``docs/differences.md``. The fields themselves stand in ``schema``; here is what is done with them.
"""

from __future__ import annotations

import gc
import os
import stat as stat_
from itertools import islice

from cdi_hook.cdi import check, decode, schema
from cdi_hook.errors import CdiError, FaultsError, SpecError, VersionError, os_words
from cdi_hook.yaml11 import constructor
from cdi_hook.yaml11.scalars import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.model import Spec
    from cdi_hook.yaml11.constructor import Document

LARGEST = 32 << 20
"""How many bytes a spec file may have."""

_TRIES = 3
_FILE_TYPES = {
    stat_.S_IFIFO: "a FIFO",
    stat_.S_IFDIR: "a directory",
    stat_.S_IFCHR: "a device",
    stat_.S_IFBLK: "a device",
    stat_.S_IFSOCK: "a socket",
}


class Loaded:
    """What became of a spec file."""

    __slots__ = ("_document", "content_valid", "faults", "minimum_version", "notes", "parses", "spec", "version_valid")

    def __init__(self, faults: list[SpecError], document: Document | None = None) -> None:
        self.spec: Spec | None = None
        """The spec as understood; None when there is any fault."""
        self.faults = faults
        """Everything that is wrong, by line."""
        self.notes: list[SpecError] = []
        """What is accepted but not standard."""
        self.parses = False
        """Whether the text is readable and every field known and of its type."""
        self.content_valid = False
        self.version_valid = False
        self.minimum_version = ""
        """The lowest version with all that is used; empty when the text does not parse."""
        self._document = document

    def line(self, path: str) -> int:
        """The line, from 1, of a field such as ``devices[0].name``; 0 when unknown."""
        return self._document.line(path) if self._document is not None else 0


def read(path: str, *, strict: bool = False) -> Loaded:
    """The spec in a file. Never raises, and never waits: what is no regular file is not read. ``strict``: notes are faults."""
    try:
        data = _bytes(path)
    except (OSError, ValueError) as error:
        words = os_words(error) if isinstance(error, OSError) else str(error)
        return Loaded([SpecError(f"cannot be read: {words}", file=path)])
    except SpecError as error:
        return Loaded([error])
    return parse(data, file=path, strict=strict)


def parse(data: bytes, *, file: str = "", strict: bool = False) -> Loaded:
    """The spec in a text; ``file`` names it in faults, and its ending tells JSON from YAML. Never raises."""
    if len(data) > LARGEST:
        return Loaded([SpecError(f"is larger than {LARGEST >> 20} MiB", file=file, fix="split it into several files")])
    # Nothing made here is a cycle, and the collector would look at all of it again and again: half of the time for a large file.
    collects = gc.isenabled()
    gc.disable()
    try:
        document = constructor.load(data, file=file)
        return _decode(document, file, strict=strict)
    except CdiError as error:
        faults = error.faults if isinstance(error, FaultsError) else [error]
        return Loaded([SpecError(fault.reason, file=file, line=fault.line, field=fault.field, fix=fault.fix) for fault in faults])
    finally:
        if collects:
            gc.enable()


def mistakes(spec: Any, *, file: str = "") -> list[SpecError]:
    """What is wrong with a spec that a program made, as a dict. ``file``: where it is to be written."""
    try:
        return _decode(constructor.Document(constructor.node_of(spec)), file).faults
    except RecursionError:
        return [SpecError("is nested too deeply", file=file)]


def minimum_version(spec: Any) -> str:
    """The lowest version of CDI that a spec, valid but for its version, can declare.

    >>> minimum_version({"kind": "acme.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]})
    '0.5.0'
    """
    return _decode(constructor.Document(constructor.node_of(spec)), "").minimum_version


def dump_yaml(spec: Any) -> str:
    """A spec as YAML that every reader takes for the same: text that looks like a number or a truth value is quoted."""
    import yaml

    escapes = _escapes()

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        plain = resolve(value) == value and (value.isascii() or value.translate(escapes) == value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    Dumper.add_representer(str, text)
    return "---\n" + str(yaml.dump(_understood(spec), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000))


def dump_json(spec: Any) -> str:
    """A spec as JSON, indented, fields in the order of the specification."""
    import json

    # Not all that is not ASCII: a YAML reader trips over surrogate pairs.
    text = json.dumps(_understood(spec), indent=2, ensure_ascii=False)
    return text.translate(_escapes()) + "\n"


def _escapes() -> dict[int, str]:
    """What a reader may take for a control or a line end, and how to write it in double quotes."""
    return {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}


def _understood(spec: Any) -> Any:
    """A spec as it will be read again, fields in the order of ``schema``. Raises FaultsError for what is no spec at all."""
    decoder = decode.Decoder(constructor.Document(constructor.node_of(spec)), "")
    value = decoder.spec()
    if decoder.faults:
        raise FaultsError(decoder.faults)
    return _ordered(value, "spec")


def _ordered(value: Any, type_: str) -> Any:
    """The same value with the fields of each object in the order of ``schema``."""
    if isinstance(value, list):
        return [_ordered(member, type_[1:-1]) for member in value]
    fields = schema.OBJECTS.get(type_)
    if fields is None or not isinstance(value, dict):
        return value
    found = {field.name: _ordered(value[field.name], field.type) for field in fields if field.name in value}
    if type_ == "spec" and not found.get("containerEdits"):
        found.pop("containerEdits", None)
    return found


def _bytes(path: str) -> bytes:
    """The content of a regular file that holds still. Raises OSError, ValueError (a path that cannot be one) or SpecError."""
    # Before it is opened: to open a device may do something, and to open a FIFO may wait.
    _check_file(os.stat(path), path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        for _ in range(_TRIES):
            before = os.fstat(fd)
            _check_file(before, path)
            data = _first_bytes(fd, before.st_size + 1)
            after = os.fstat(fd)
            if (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (len(data), after.st_mtime_ns, after.st_ctime_ns):
                return data
    finally:
        os.close(fd)
    raise SpecError("changes while it is read", file=path, fix="its writer should write another file and rename it")


def _check_file(found: os.stat_result, path: str) -> None:
    if not stat_.S_ISREG(found.st_mode):
        what = _FILE_TYPES.get(stat_.S_IFMT(found.st_mode), "no file")
        raise SpecError(f"is {what}, not a regular file", file=path, fix="move it away")
    if found.st_size > LARGEST:
        raise SpecError(f"is larger than {LARGEST >> 20} MiB", file=path, fix="split it into several files")


def _first_bytes(fd: int, size: int) -> bytes:
    """So many bytes of a file from its start, or fewer if it ends before."""
    parts: list[bytes] = []
    at = 0
    while at < size:
        part = os.pread(fd, size - at, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _decode(document: Document, file: str, *, strict: bool = False) -> Loaded:
    decoder = decode.Decoder(document, file)
    spec = decoder.spec()
    loaded = Loaded(decoder.faults, document)
    loaded.notes = decoder.notes
    loaded.parses = not decoder.faults
    if spec is not None:
        _judge(loaded, spec, decoder)
    if file.endswith(".yml"):
        loaded.notes.append(SpecError("has a name that other readers of CDI pass over", file=file, fix="let it end in .yaml"))
    if strict:
        loaded.faults, loaded.notes = loaded.faults + loaded.notes, []
    loaded.faults.sort(key=lambda fault: fault.line)
    if len(loaded.faults) >= constructor.MOST_FAULTS:
        loaded.faults.append(SpecError("may have more faults than these", file=file))
    if not loaded.faults:
        loaded.spec = spec  # type: ignore[assignment] # checked, so it is one
    return loaded


def _judge(loaded: Loaded, spec: dict[str, Any], decoder: decode.Decoder) -> None:
    """Fill in what is to be said beyond the form. Of what is wrong in its form already, nothing more is said."""

    def fault(kind: type[SpecError], field: str, reason: str, fix: str) -> SpecError:
        return kind(reason, file=decoder.file, line=loaded.line(field), field=field, fix=fix)

    least, why, unseen = check.minimum(spec, decoder.given_empty)
    content = list(islice(check.problems(spec), constructor.MOST_FAULTS))
    version = check.version_problem(spec.get("cdiVersion", ""), least, why)
    if loaded.parses:
        loaded.minimum_version = least
        loaded.content_valid = not content
        loaded.version_valid = version is None
    wrong = [told.field for told in loaded.faults]
    loaded.faults += [fault(SpecError, *problem) for problem in content if not any(_within(problem[0], field) for field in wrong)]
    if version is not None and "cdiVersion" not in wrong:
        loaded.faults.append(fault(VersionError, *version))
    for field, since in unseen[: constructor.MOST_FAULTS]:
        if 0 <= decoder.version < schema.version_number(since):
            loaded.notes.append(fault(SpecError, field, f"needs version {since}", "declare it; some readers of CDI refuse the file"))


def _within(one: str, other: str) -> bool:
    """Whether of two fields one is the other, or is in it."""
    inner, outer = (one, other) if len(one) > len(other) else (other, one)
    return inner.startswith(outer) and inner[len(outer) : len(outer) + 1] in ("", ".", "[")
