"""Who else reads CDI specs: the engines with CDI of their own, the library in each version of them, and what that refuses. Row 4, cold.

Every engine uses the reference library, which refuses a whole file for one field or version that it does not know. The rows are read off
the engines' ``go.mod`` (Docker: ``vendor.mod``) at their tags, those of the library off ``specs-go`` at its own: which CDI version it
knows. A vendor or class of one letter crashes it up to 1.1.0 (``pkg/parser/parser.go`` slices the name from 1 to its length less 1).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cdi_hook.cdi import schema
from cdi_hook.cdi.names import split_kind
from cdi_hook.errors import CdiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

Version = tuple[int, ...]

ENGINES: dict[str, tuple[tuple[str, str], ...]] = {
    "containerd": (
        ("1.7.0", "0.5.4"),
        ("1.7.13", "0.6.2"),
        ("1.7.24", "0.7.2"),
        ("1.7.27", "0.8.1"),
        ("2.0.0", "0.8.0"),
        ("2.0.5", "1.0.0"),
        ("2.1.0", "1.0.1"),
        ("2.2.1", "1.1.0"),
    ),
    "crio": (
        ("1.24.0", "0.3.2"),
        ("1.25.0", "0.5.0"),
        ("1.26.0", "0.5.3"),
        ("1.27.0", "0.5.4"),
        ("1.28.0", "0.6.0"),
        ("1.29.0", "0.6.2"),
        ("1.30.0", "0.7.2"),
        ("1.31.0", "0.8.0"),
        ("1.33.0", "1.0.1"),
        ("1.35.0", "1.1.0"),
    ),
    "podman": (
        ("4.3.1", "0.5.2"),
        ("4.6.0", "0.5.4"),
        ("4.9.0", "0.6.2"),
        ("5.2.0", "0.8.0"),
        ("5.5.0", "1.0.1"),
    ),
    "docker": (
        ("25.0.0", "0.6.2"),
        ("26.1.5", "0.7.2"),
        ("27.5.1", "0.8.0"),
        ("28.2.0", "1.0.1"),
    ),
}
"""Engine -> (version, library from that version on), as far as it was looked up; before the first row it has no CDI, or none that was
looked up."""

LIBRARY = "cdi-library"
"""Named like an engine: the reference library itself."""

_LIBRARIES = {
    "0.3": "0.3.0",
    "0.4": "0.4.0",
    "0.5": "0.5.0",
    "0.6": "0.6.0",
    "0.7": "0.7.0",
    "0.8": "0.8.0",
    "1.0": "1.0.0",
    "1.1": "1.1.0",
}
"""Minor version of the library -> the newest version of CDI that it knows."""

_PANICS_UP_TO = (1, 1, 0)
_ALIASES = {"cri-o": "crio"}
_NAME = re.compile(r"([a-z-]+?)(?:-v?(\d+(?:\.\d+)*(?:-.*)?))?")


class Consumer(NamedTuple):
    """A reader of specs. ``name``: as people say it; ``library``: version of the reference library; ``cdi``: the newest CDI it knows."""

    name: str
    library: str
    cdi: str

    @property
    def panics(self) -> bool:
        """Whether a vendor or class of one letter crashes it."""
        return _numbers(self.library) <= _PANICS_UP_TO


def consumer(text: str) -> Consumer:
    """The reader of this name: ``ENGINE-VERSION`` (``containerd-1.7.27``), ``ENGINE-SERIES`` (``containerd-1.7``: its newest that was
    looked up), ``ENGINE`` (its newest), or ``cdi-library-VERSION``. Raises CdiError with what is known.

    >>> consumer("podman-4.9")
    Consumer(name='podman 4.9', library='0.6.2', cdi='0.6.0')
    """
    match = _NAME.fullmatch(text)
    engine = _ALIASES.get(match[1], match[1]) if match else ""
    version = (match[2] or "") if match else ""
    if engine == LIBRARY and version and _cdi_of(version):
        return Consumer(f"{LIBRARY} {version}", version, _cdi_of(version))
    rows = ENGINES.get(engine)
    if rows is None:
        known = ", ".join(f"{name}-{rows[0][0]} and later" for name, rows in ENGINES.items())
        raise CdiError(f'"{text}" is no reader of specs that is known', fix=f"known are {known}, and {LIBRARY}-VERSION")
    wanted = _numbers(version)
    fitting = [(number, library) for number, library in rows if _numbers(number)[: len(wanted)] <= wanted]
    if not fitting:
        raise CdiError(f'"{text}" has no CDI of its own, or none that was looked up', fix=f"known is {engine}-{rows[0][0]} and later")
    library = fitting[-1][1]
    return Consumer(f"{engine} {version}".strip(), library, _cdi_of(library))


def refusals(spec: Any, reader: Consumer) -> Iterator[tuple[str, str, str]]:
    """``(field, reason, fix)`` for each thing in a valid spec for which this reader refuses the whole file, or fails."""
    says = f"{reader.name} (CDI library {reader.library})"
    limit = schema.version_number(reader.cdi)
    declared = spec.get("cdiVersion", "")
    fields = list(_unknown(spec, "spec", limit, ""))
    if schema.version_number(declared) > limit:
        fix = f"declare {reader.cdi}" if not fields else "leave the fields out that it does not know"
        yield "cdiVersion", f"is {declared}, and {says} knows CDI up to {reader.cdi}: it refuses the file", fix
    for path, field in fields:
        what = f"came with CDI {field.since}" if schema.version_number(field.since) > limit else f"went with CDI {field.until}"
        yield path, f"{what}, and {says} refuses a file with a field that it does not know", "leave it out for this reader"
    for part, name in zip(("vendor", "class"), split_kind(spec.get("kind", ""))):
        if len(name) == 1 and reader.panics:
            yield "kind", f'the {part} "{name}" has one letter, and {says} crashes on it', "choose a longer name"


def _unknown(value: Any, type_: str, limit: int, path: str) -> Iterator[tuple[str, schema.Field]]:
    """The fields of an object that a library of this CDI version does not have."""
    if type_.startswith("["):
        for at, member in enumerate(value):
            yield from _unknown(member, type_[1:-1], limit, f"{path}[{at}]")
        return
    fields = schema.FIELDS.get(type_)
    if fields is None or not isinstance(value, dict):
        return
    for name, member in value.items():
        field = fields.get(name)
        if field is None or member in ({}, []):
            continue
        where = f"{path}.{name}" if path else name
        since, until = schema.version_number(field.since), schema.version_number(field.until) if field.until else limit
        if since > limit or until < limit:
            yield where, field
        else:
            yield from _unknown(member, field.type, limit, where)


def _cdi_of(library: str) -> str:
    return _LIBRARIES.get(".".join(library.split(".")[:2]), "")


def _numbers(version: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))
