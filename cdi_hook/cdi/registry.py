"""The specs of a host: which devices there are, and what each of them does to a container. Row 4, cold.

Reads the spec directories (CDI specification 1.1.0, "CDI JSON Specification"; precedence and conflicts as in the reference's
``pkg/cdi/cache.go``), answers questions about them, and writes and removes spec files. This is the API for programs that embed CDI::

    from cdi_hook import Registry

    registry = Registry.discover()
    config = registry.inject(config, ["acme.com/gpu=0"])

Precedence: a definition in a later directory replaces one in an earlier directory. Two files of one directory that define the same
device make it unusable, unless a later directory defines it cleanly. A file that does not load stands in ``errors`` and hides nothing
else. What a failed request is told is in ``unresolved.py``.
"""

from __future__ import annotations

import os

from cdi_hook import host
from cdi_hook.cdi import edits, specfile
from cdi_hook.cdi.index import SUFFIXES
from cdi_hook.cdi.names import quoted, split_device, split_kind, split_selector
from cdi_hook.errors import BundleError, CdiError, ConflictError, FaultsError, NameSyntaxError, os_words
from cdi_hook.oci import config as oci_config
from cdi_hook.settings.values import DEFAULTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Union

    from cdi_hook.model import ContainerEdits, Device, Part, Spec

    Directories = Union[Iterable[Union[str, os.PathLike[str]]], os.PathLike[str]]

_WRITTEN = (".json", ".yaml")
"""The extensions that choose how a spec is written; to any other name ``.yaml`` is added."""

_MOST_NAMES = 5
"""How many devices a conflict between files lists before it only counts."""

_DEEPEST = 100_000
_NEW_FILE_MODE = 0o644
"""A spec holds no secret, and engines without root read it too; the reference leaves 0600 behind."""


class SpecFile:
    """One spec file that loads."""

    __slots__ = ("_loaded", "class_", "devices", "kind", "notes", "path", "priority", "spec", "vendor")

    def __init__(self, path: str, priority: int, loaded: specfile.Loaded, spec: Spec) -> None:
        self.path = path
        """Where it is: directory and name, cleaned."""
        self.priority = priority
        """Number of its directory; the highest wins."""
        self.spec = spec
        """The spec as understood: values converted, zero values left out, ``containerEdits`` always there."""
        self.kind = spec["kind"]
        """``vendor.com/class``."""
        self.vendor, self.class_ = split_kind(self.kind)
        self.devices: dict[str, Device] = {device["name"]: device for device in spec["devices"]}
        """Its devices by name, in the order of the file."""
        self.notes = loaded.notes
        """What is accepted but not standard."""
        self._loaded = loaded

    def line(self, device: str = "") -> int:
        """The line, from 1, where this device is defined (no name: its kind); 0 when unknown."""
        if not device:
            return self._loaded.line("kind")
        return self._loaded.line(f"devices[{list(self.devices).index(device)}]") if device in self.devices else 0

    def field_line(self, field: str) -> int:
        """The line, from 1, of a field such as ``devices[0].name``; 0 when unknown."""
        return self._loaded.line(field)

    @property
    def rank(self) -> tuple[int, bool]:
        """What decides between definitions: the directory, then whether the name is one that the specification knows."""
        return self.priority, self.path.endswith(_WRITTEN)


class Registry:
    """The specs of some directories, as they were when it was made or last refreshed."""

    def __init__(self, dirs: Directories) -> None:
        """``dirs``: spec directories, lowest precedence first. See `discover`."""
        # An empty name would be the working directory: whoever starts us must not choose the specs by accident.
        self.dirs = [os.path.normpath(path) for path in _several(dirs) if path]
        """The directories, cleaned."""
        self.refresh()

    @classmethod
    def discover(cls, dirs: Directories | None = None) -> Registry:
        """Read the spec directories, lowest precedence first; by default ``/etc/cdi`` and ``/var/run/cdi``.

        Never raises for what is in them: a file that does not load, or a directory that cannot be read, is in ``errors``. A missing
        directory is no error.

        >>> Registry.discover(["/nowhere"]).is_empty()
        True
        """
        return cls(DEFAULTS["specDirs"] if dirs is None else dirs)

    def refresh(self) -> None:
        """Read the directories again."""
        self.specs: list[SpecFile] = []
        """Every file that loads, by directory, then by name."""
        self.errors: dict[str, list[CdiError]] = {}
        """What is wrong, by path of a file or a directory: faults of files that do not load, conflicts between files that do."""
        self.conflicts: dict[str, list[str]] = {}
        """Devices that are unusable because several files of one directory define them, with the paths of these files."""
        self._found: dict[str, SpecFile] = {}
        self._beaten: list[tuple[str, list[str]]] = []
        for priority, directory in enumerate(self.dirs):
            try:
                names = _listing(directory)
            except FileNotFoundError:
                names = []
            except (OSError, ValueError) as error:
                # As in the reference, this ends the search.
                self.errors[directory] = [_unreadable(directory, error)]
                break
            for name in names:
                self._load(os.path.join(directory, name), priority)
        for name in self.conflicts:
            del self._found[name]
        self._report_conflicts()

    def is_empty(self) -> bool:
        """Whether there is no usable device."""
        return not self._found

    def devices(self) -> list[str]:
        """The qualified names of all usable devices, sorted."""
        return sorted(self._found)

    def kinds(self) -> list[str]:
        """The kinds (``vendor.com/class``) of all specs that load, sorted."""
        return sorted({spec.kind for spec in self.specs})

    def vendors(self) -> list[str]:
        """The vendors of all specs that load, sorted."""
        return sorted({spec.vendor for spec in self.specs})

    def classes(self) -> list[str]:
        """The classes of all specs that load, sorted."""
        return sorted({spec.class_ for spec in self.specs})

    def get_spec(self, kind: str) -> Spec | None:
        """A copy of the spec of this kind; None when there is none. Of several (all are in ``specs``) the one of the highest precedence,
        in a directory the first by name."""
        _check_text(kind, "a kind")
        best = max((spec for spec in self.specs if spec.kind == kind), key=lambda spec: spec.rank, default=None)
        return None if best is None else _copy(best.spec)

    def get_device(self, name: str) -> Device | None:
        """A copy of the device of this qualified name as its spec has it, without the spec's own edits; None when it is not usable."""
        spec = self.find(name)
        return None if spec is None else _copy(spec.devices[_device_part(name)])

    def find(self, name: str) -> SpecFile | None:
        """The file that defines this device; None when it is unknown or in conflict."""
        _check_text(name, "a device name")
        return self._found.get(name)

    def resolve_device(self, name: str) -> ContainerEdits:
        """All edits for one device: its spec's and its own in one, a copy. Raises UnresolvedError or ConflictError.

        Lists are joined, the spec's first; ``intelRdt`` of the device replaces that of the spec as a whole.
        """
        return merge(of_origin for _, of_origin in self.parts([name]))

    def parts(self, names: Iterable[str]) -> list[Part]:
        """The edits of these devices with their origin, in the order of the request: before the first device of a file the edits of the
        spec itself, if it has any. Not copies.

        Raises UnresolvedError, or ConflictError when conflicts alone are the cause: one message for all names.
        """
        names = _names(names)
        missing = [name for name in names if name not in self._found]
        if missing:
            raise self._explain(missing)
        parts: list[Part] = []
        begun = set()
        for name in names:
            spec = self._found[name]
            if spec.path not in begun:
                begun.add(spec.path)
                if spec.spec["containerEdits"]:
                    parts.append(((spec.path, ""), spec.spec["containerEdits"]))
            parts.append(((spec.path, name), spec.devices[_device_part(name)]["containerEdits"]))
        return parts

    def expand(self, names: Iterable[str]) -> list[str]:
        """The same names with each selector ``vendor.com/class=*`` replaced by the devices of that kind, sorted; one that selects nothing
        stays, and is then unresolved.

        >>> Registry.discover(["/nowhere"]).expand(["acme.com/gpu=0", "acme.com/nic=*"])
        ['acme.com/gpu=0', 'acme.com/nic=*']
        """
        expanded = []
        for name in _names(names):
            kind = split_selector(name)
            selected = [known for known in self.devices() if known.startswith(f"{kind}=")] if kind else []
            expanded.extend(selected or [name])
        return expanded

    def inject(self, config: dict[str, Any] | None, names: Iterable[str]) -> dict[str, Any]:
        """A new OCI config: the one given, edited for these devices, qualified names in order. To the letter what the reference makes of
        it, but for unknown fields, which are kept; no config (None) counts as an empty one, as there.

        Raises UnresolvedError or ConflictError (`parts`), SpecError (a device node is not on this host as its spec needs it), BundleError
        (the config is malformed).
        """
        oci_config.check(config)
        edited: dict[str, Any] = _copy(config or {})
        parts = [(origin, _copy(of_origin)) for origin, of_origin in self.parts(names)]
        edits.apply(edited, edits.to_oci(parts, edited, host.node))
        return edited

    def write_spec(self, spec: Spec | dict[str, Any], name: str) -> str:
        """Write a spec into the last directory, which is made when missing, and read the directories again. Returns the path.

        ``name``: of the file, see `generate_name_for_spec`; ``.json`` or ``.yaml`` at its end chooses the encoding, to any other ``.yaml``
        is added. The file is new or old, never half; an old one keeps mode and owner, a new one has mode 0644.

        Raises SpecError (`FaultsError` for several) when the spec is not valid, CdiError when the name is no name of a file in the
        directory, or the file cannot be written.
        """
        from cdi_hook.memory import replace

        path = self._path_of(name)
        faults = specfile.mistakes(spec, file=path)
        if faults:
            raise faults[0] if len(faults) == 1 else FaultsError(faults)
        text = specfile.dump_json(spec) if path.endswith(".json") else specfile.dump_yaml(spec)
        try:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            replace(path, text.encode("utf-8"), mode=_NEW_FILE_MODE)
        except (OSError, ValueError) as error:
            raise CdiError(f"cannot be written: {_words(error)}", file=path) from None
        self.refresh()
        return path

    def remove_spec(self, name: str) -> None:
        """Remove a spec file from the last directory, ``name`` as in `write_spec`, and read the directories again. A missing one is no
        error; as in the reference, an empty directory of that name goes too. Raises CdiError."""
        path = self._path_of(name)
        try:
            try:
                os.unlink(path)
            except IsADirectoryError:
                os.rmdir(path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise CdiError(f"cannot be removed: {_words(error)}", file=path) from None
        self.refresh()

    def _load(self, path: str, priority: int) -> None:
        loaded = specfile.read(path)
        if loaded.spec is None:
            self.errors.setdefault(path, []).extend(loaded.faults)
            return
        spec = SpecFile(path, priority, loaded, loaded.spec)
        self.specs.append(spec)
        rank = spec.rank
        for device in spec.devices:
            name = f"{spec.kind}={device}"
            other = self._found.get(name)
            if other is None or rank > other.rank:
                self._found[name] = spec
                if name in self.conflicts:
                    self._beaten.append((name, self.conflicts.pop(name)))
            elif rank == other.rank:
                self.conflicts.setdefault(name, [other.path]).append(path)

    def _report_conflicts(self) -> None:
        """Note under each file what it shares with others: one error for all devices, since most often a whole file was copied."""
        shared: dict[tuple[str, ...], list[str]] = {}
        for name, rivals in [*self._beaten, *self.conflicts.items()]:
            shared.setdefault(tuple(rivals), []).append(name)
        files = {spec.path: spec for spec in self.specs}
        for paths, names in shared.items():
            field = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
            for path in paths:
                reason = f"also defined by {' and '.join(other for other in paths if other != path)}"
                line = files[path].line(_device_part(names[0]))
                error = ConflictError(reason, file=path, line=line, field=field, fix="remove all but one of the definitions")
                self.errors.setdefault(path, []).append(error)

    def _explain(self, missing: list[str]) -> CdiError:
        from cdi_hook.cdi import unresolved

        return unresolved.explain(missing, known=self.devices(), dirs=self.dirs, errors=self.errors, conflicts=self.conflicts)

    def _path_of(self, name: str) -> str:
        """Where the spec file of this name is. Raises CdiError for a name that leads out of the directory, which the reference follows."""
        _check_text(name, "the name of a spec file")
        if not self.dirs:
            raise CdiError("there is no spec directory")
        # As a path below the directory, whatever it begins with.
        relative = os.path.normpath(name.lstrip("/"))
        if relative in (".", "..") or relative.startswith("../"):
            raise CdiError(f"{quoted(name)} is not the name of a file in {self.dirs[-1]}", fix="write a plain file name")
        path = os.path.join(self.dirs[-1], relative)
        return path if path.endswith(_WRITTEN) else f"{path}.yaml"


def merge(several: Iterable[ContainerEdits]) -> ContainerEdits:
    """Container edits in one: lists joined in order, of ``intelRdt`` the last. A copy.

    >>> merge([{"env": ["A=1"]}, {"env": ["B=2"]}])
    {'env': ['A=1', 'B=2']}
    """
    merged: dict[str, Any] = {}
    for one in several:
        for key, value in _copy(one).items():
            merged[key] = merged.get(key, []) + value if isinstance(value, list) else value
    return merged  # type: ignore[return-value] # the same keys as the edits that went in


def generate_spec_name(vendor: str, class_: str) -> str:
    """The name, without extension, for the one spec file of a vendor's class.

    >>> generate_spec_name("acme.com", "gpu")
    'acme.com-gpu'
    """
    return f"{vendor}-{class_}"


def generate_transient_spec_name(vendor: str, class_: str, id: str) -> str:
    """The name, without extension, for a spec that lives as long as something else, such as the container ``id``.

    >>> generate_transient_spec_name("acme.com", "gpu", "pod/0")
    'acme.com-gpu_pod_0'
    """
    return f"{generate_spec_name(vendor, class_)}_{id.replace('/', '_')}"


def generate_name_for_spec(kind: str) -> str:
    """`generate_spec_name` for a kind. Raises NameSyntaxError when it is not ``vendor/class``; the characters are not looked at.

    >>> generate_name_for_spec("acme.com/gpu")
    'acme.com-gpu'
    """
    return generate_spec_name(*_split(kind))


def generate_name_for_transient_spec(kind: str, id: str) -> str:
    """`generate_transient_spec_name` for a kind. Raises NameSyntaxError when it is not ``vendor/class``.

    >>> generate_name_for_transient_spec("acme.com/gpu", "pod0")
    'acme.com-gpu_pod0'
    """
    return generate_transient_spec_name(*_split(kind), id)


def _split(kind: str) -> tuple[str, str]:
    vendor, class_ = split_kind(kind)
    if not vendor:
        raise NameSyntaxError(f"{quoted(kind)} is not a kind", fix="write vendor.com/class")
    return vendor, class_


def _several(values: Iterable[Any] | os.PathLike[str]) -> list[Any]:
    """A list. A text is one value: whoever forgets the brackets does not mean its characters."""
    return [values] if isinstance(values, (str, os.PathLike)) else list(values)


def _names(names: Iterable[str]) -> list[str]:
    """Device names as a list; a text is one name. Raises TypeError for what is none."""
    try:
        found = _several(names)
    except TypeError:
        raise TypeError(f"device names are a list of text, not {type(names).__name__}") from None
    for name in found:
        _check_text(name, "a device name")
    return found


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}")


def _device_part(name: str) -> str:
    return split_device(name)[2]


def _listing(directory: str) -> list[str]:
    """Names of spec files, in the order of their bytes. A link counts as a file, whatever it leads to. Raises OSError."""
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SUFFIXES) and not entry.is_dir(follow_symlinks=False)]
    return sorted(names, key=os.fsencode)


def _unreadable(directory: str, error: OSError | ValueError) -> CdiError:
    reason = "is not a directory" if isinstance(error, NotADirectoryError) else f"cannot be read: {_words(error)}"
    return CdiError(f"{reason}, so the search ends here", file=directory, fix="mend it, or take it out of the spec directories")


def _words(error: OSError | ValueError) -> str:
    return os_words(error) if isinstance(error, OSError) else str(error)


def _copy(value: Any) -> Any:
    """A deep copy of a JSON value. Raises BundleError when it is nested beyond all measure, as what contains itself is."""
    top = [value]
    waiting: list[tuple[Any, int]] = [(top, 0)]
    while waiting:
        container, depth = waiting.pop()
        for key, member in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(member, (dict, list)):
                if depth > _DEEPEST:
                    raise BundleError("is nested too deeply")
                container[key] = member = member.copy()
                waiting.append((member, depth + 1))
    return top[0]
