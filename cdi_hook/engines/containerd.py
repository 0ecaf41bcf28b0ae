"""containerd: a runtime handler of its CRI plugin. Row 4, cold.

Before 2.0 (config versions 1 and 2) an imported file *replaces* the whole section of a plugin, so a drop-in with our handler alone would
wipe every other CRI setting: the file that holds the CRI table is edited, which may be an imported one. From version 3 on sections are
merged, and the handler goes into a drop-in of its own.

Naming any runtime makes containerd forget the ``runc`` that it has by itself, so ``runc`` is written beside us when no file names it.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any, NamedTuple

from cdi_hook.engines import tomlfile
from cdi_hook.engines.base import (
    Change,
    Engine,
    Handler,
    Plan,
    Request,
    Site,
    Status,
    change,
    existing,
    foreign,
    newer,
    ours,
    patterns,
    read,
)
from cdi_hook.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

CONFIG = "/etc/containerd/config.toml"
DROPIN = "/etc/containerd/conf.d"
"""Where drop-ins go when the main file imports no directory."""

_OLD_NAME = ("plugins", "cri")
_NAME = ("plugins", "io.containerd.grpc.v1.cri")
_NEW_NAME = ("plugins", "io.containerd.cri.v1.runtime")
_RUNC = {"runtime_type": "io.containerd.runc.v2"}
_KNOWN = (("2.3", 4), ("2.0", 3))
"""The newest version of the configuration that a containerd reads, since when; before these it is 2."""

_FIX = "containerd config default > FILE makes one"


class File(NamedTuple):
    """One file of the configuration: the main one or an import, in the order in which containerd reads them."""

    path: str
    data: bytes
    values: dict[str, Any]

    @property
    def version(self) -> int:
        """``version`` of the file; 1 when it does not say."""
        number = self.values.get("version", 1)
        return number if isinstance(number, int) else 0

    @property
    def plugin(self) -> tuple[str, ...]:
        """The path of the CRI plugin's table that decides about runtimes."""
        return _OLD_NAME if self.version < 2 else _NAME if self.version == 2 else _NEW_NAME


def _load(path: str, data: bytes) -> list[File]:
    """The main file and everything it imports. Raises EngineError for a file that cannot be read or understood."""
    files: list[File] = []
    queue = [(path, data)]
    while queue:
        name, text = queue.pop(0)
        file = File(name, text, tomlfile.parse(text.decode("utf-8"), name))
        if file.version not in (1, 2, 3, 4):
            raise EngineError(f"is of version {file.values.get('version')!r}; 1 to 4 are known", file=name, field="version")
        files.append(file)
        for found in _imports(file):
            if all(found != other.path for other in files):
                more = read(found)
                if more is None:
                    raise EngineError(f"imports {found}, which is missing", file=name, field="imports")
                queue.append((found, more))
    return files


def _imports(file: File) -> list[str]:
    listed = file.values.get("imports") or []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise EngineError("is not a list of paths", file=file.path, field="imports")
    found: list[str] = []
    for item in listed:
        name = os.path.join(os.path.dirname(file.path), item)
        found += sorted(glob.glob(name)) if "*" in item else [os.path.normpath(name)]
    return found


class View(NamedTuple):
    """The CRI settings that count, and the file to edit."""

    files: list[File]
    target: File
    cri: dict[str, Any]

    @property
    def runtimes(self) -> dict[str, Any]:
        """Handlers by name."""
        return tomlfile.table(self.cri, ("containerd", "runtimes"))

    @property
    def default(self) -> str:
        """Name of the default handler."""
        return str(tomlfile.get(self.cri, ("containerd", "default_runtime_name")) or "runc")

    @property
    def unnamed(self) -> dict[str, Any]:
        """The table ``default_runtime`` of old files: with a type in it, it wins over ``default_runtime_name``."""
        found = tomlfile.table(self.cri, ("containerd", "default_runtime"))
        return found if found.get("runtime_type") else {}

    @property
    def disabled(self) -> bool:
        """Is the CRI plugin turned off? By its short name in version 1, by its full one since."""
        listed = self.files[0].values.get("disabled_plugins") or []
        return any(name in (".".join(path[1:]) for path in (_OLD_NAME, _NAME, _NEW_NAME)) for name in listed)

    @property
    def dropins(self) -> bool:
        """Does this containerd merge sections of imported files?"""
        return self.files[0].version >= 3


def _view(site: Site, path: str, data: bytes) -> View:
    files = _load(path, data)
    holders = [file for file in files if tomlfile.table(file.values, file.plugin)]
    target = holders[-1] if holders else files[0]
    if files[0].version < 3:
        return View(files, target, tomlfile.table(target.values, target.plugin))
    merged: dict[str, Any] = {}
    for file in files:
        _merge(merged, tomlfile.table(file.values, file.plugin))
    return View(files, target, merged)


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = {**value} if isinstance(value, dict) else value


class Containerd(Engine):
    """See the module."""

    name = "containerd"
    program = "containerd"
    restart = "systemctl restart containerd"
    no_hook = "containerd reads no hooks directory"

    def config(self, site: Site, request: Request) -> str:
        return existing(site, request, CONFIG)[0]

    def _open(self, site: Site, request: Request) -> tuple[str, View]:
        path, data = existing(site, request, CONFIG)
        if data is None:
            raise EngineError("is missing", file=path, fix=_FIX.replace("FILE", path))
        return path, _view(site, path, data)

    def own_runtime(self, site: Site, request: Request) -> str:
        _, view = self._open(site, request)
        source = view.unnamed or tomlfile.table(view.runtimes, (view.default,))
        binary = tomlfile.get(source, ("options", "BinaryName"))
        return "runc" if not binary else "" if ours(binary) else str(binary)

    def plan(self, site: Site, request: Request, wrapper: str) -> Plan:
        path, view = self._open(site, request)
        self._check_version(site, view.files)
        there = view.runtimes.get(request.handler)
        if isinstance(there, dict):
            binary = tomlfile.get(there, ("options", "BinaryName"))
            if not ours(binary):
                raise foreign(request.handler, binary or "runc", view.target.path)
        entry = self._entry(site, request, view, wrapper)
        plan = Plan(config=path, old={"default": tomlfile.get(view.cri, ("containerd", "default_runtime_name"))})
        if view.disabled:
            plan.notes.append(
                f"{path}: disabled_plugins names the CRI plugin: Kubernetes and crictl cannot reach containerd until it is taken out"
            )
        if view.dropins:
            plan.changes = self._dropin(site, request, view, entry)
            plan.uses = [path]  # its import, which the handler's file needs
            if any(item.path == path for item in plan.changes):
                plan.old["import"] = f"{_made(path)}/*.toml"
        else:
            plan.changes = self._edit(request, view, entry)
            plan.old["runc"] = _forgets_runc(view)
        if request.pod_annotations:
            plan.notes.append("--pod-annotations: whoever may create a pod may now ask for any CDI device of this host")
        return plan

    def _check_version(self, site: Site, files: list[File]) -> None:
        """Raise EngineError for a file that the containerd of this host cannot read."""
        version = self.version(site)
        known = next((number for since, number in _KNOWN if newer(version, since)), 2) if version else 0
        for file in files:
            if known and file.version > known:
                reason = f"is of version {file.version}, and containerd here is {version}, which reads versions up to {known}"
                fix = "make it anew for this containerd (containerd config default), or name the file that it reads: --config FILE"
                raise EngineError(reason, file=file.path, field="version", fix=fix)

    def _entry(self, site: Site, request: Request, view: View, wrapper: str) -> dict[str, Any]:
        """The handler's table: what it holds already, or the default runtime's, with our wrapper and the annotations let through."""
        name = request.handler if request.handler in view.runtimes else view.default
        source = tomlfile.table(view.runtimes, (name,))
        if name != request.handler:
            source = view.unnamed or source
        if not str(source.get("runtime_type") or _RUNC["runtime_type"]).startswith("io.containerd.runc."):
            source = tomlfile.table(view.runtimes, ("runc",))  # BinaryName means nothing to another shim
        wanted = patterns(site)
        entry = {key: value for key, value in source.items() if key not in ("options", "container_annotations", "pod_annotations")}
        entry.setdefault("runtime_type", _RUNC["runtime_type"])
        listed = source.get("container_annotations") or []
        entry["container_annotations"] = [*listed, *(item for item in wanted if item not in listed)]
        pods = [item for item in source.get("pod_annotations") or [] if not _lets_through(str(item), site.prefixes)]
        if request.pod_annotations:
            pods += wanted
        if pods:
            entry["pod_annotations"] = pods
        entry["options"] = {**tomlfile.table(source, ("options",)), "BinaryName": wrapper}
        return entry

    def _edit(self, request: Request, view: View, entry: dict[str, Any]) -> list[Change]:
        """Versions 1 and 2: the file that holds the CRI table."""
        file = view.target
        base = (*file.plugin, "containerd")
        edits: list[Callable[[str], str]] = []
        if _forgets_runc(view):
            edits.append(lambda text: tomlfile.add_table(text, (*base, "runtimes", "runc"), _RUNC, file.path, after=file.plugin))
        there = view.runtimes.get(request.handler)
        edits.append(lambda text: _put(text, (*base, "runtimes"), request.handler, there, entry, file.path))
        if request.set_default:
            if view.unnamed:
                reason = "is there, is deprecated, and wins over default_runtime_name"
                fix = "make it a table of containerd.runtimes, name that one in default_runtime_name, and try again"
                raise EngineError(reason, file=file.path, field=".".join((*base, "default_runtime")), fix=fix)
            edits.append(lambda text: tomlfile.set_value(text, (*base, "default_runtime_name"), request.handler, file.path))
        return change(file.path, file.data, tomlfile.together(file.data.decode("utf-8"), *edits).encode("utf-8"))

    def _dropin(self, site: Site, request: Request, view: View, entry: dict[str, Any]) -> list[Change]:
        """Version 3: a file of our own, and an import of its directory when the main file has none."""
        main = view.files[0]
        directory, changes = self._directory(site, main)
        path = os.path.join(directory, f"cdi-hook-{request.handler}.toml")
        base = (*_NEW_NAME, "containerd")
        elsewhere = [file for file in view.files if not os.path.basename(file.path).startswith("cdi-hook-")]
        text = f"# Written by cdi-hook configure; taken out by: cdi-hook unconfigure containerd --handler {request.handler}\n"
        text += f"version = {main.version}\n"
        if request.set_default or view.default == request.handler:
            text = tomlfile.set_value(text, (*base, "default_runtime_name"), request.handler, path)
        if not any(tomlfile.get(file.values, (*base, "runtimes", "runc")) for file in elsewhere):
            text = tomlfile.add_table(text, (*base, "runtimes", "runc"), _RUNC, path)
        text = tomlfile.add_table(text, (*base, "runtimes", request.handler), entry, path)
        return [*change(path, read(path), text.encode("utf-8")), *changes]

    @staticmethod
    def _directory(site: Site, main: File) -> tuple[str, list[Change]]:
        for item in main.values.get("imports") or []:
            name = os.path.join(os.path.dirname(main.path), item)
            if os.path.basename(name) == "*.toml" and "*" not in os.path.dirname(name):
                return os.path.dirname(name), []
        directory = _made(main.path)
        imports = [*(main.values.get("imports") or []), f"{directory}/*.toml"]
        text = tomlfile.set_value(main.data.decode("utf-8"), ("imports",), imports, main.path)
        return directory, change(main.path, main.data, text.encode("utf-8"))

    def strip(self, site: Site, path: str, data: bytes, handler: str, old: dict[str, Any]) -> bytes | None:
        text = data.decode("utf-8")
        file = File(path, data, tomlfile.parse(text, path))
        base = (*file.plugin, "containerd")
        runtimes = tomlfile.table(file.values, (*base, "runtimes"))
        if ours(tomlfile.get(runtimes, (handler, "options", "BinaryName"))):
            text = tomlfile.remove_table(text, (*base, "runtimes", handler), path)
            if tomlfile.get(file.values, (*base, "default_runtime_name")) == handler:
                dropin = os.path.basename(path) == f"cdi-hook-{handler}.toml"  # the old default stands in another file
                text = tomlfile.set_value(text, (*base, "default_runtime_name"), None if dropin else old.get("default"), path)
            if old.get("runc", True) and set(runtimes) == {"runc", handler} and runtimes["runc"] == _RUNC:
                text = tomlfile.remove_table(text, (*base, "runtimes", "runc"), path)  # only there to stay beside us
        if os.path.basename(path) == f"cdi-hook-{handler}.toml" and not set(tomlfile.parse(text, path)) - {"version"}:
            return None
        return _without_import(text, path, old.get("import"), handler).encode("utf-8")

    def check(self, site: Site, config: str, handler: str) -> str:
        program = site.program(self.program)
        if not program:
            return ""
        status, answer = site.ask(program, "-c", config, "config", "dump")
        if status:
            raise EngineError(f"containerd refuses the file: {_last(answer)}", file=config)
        if (
            handler
            and not re.search(rf"\.runtimes\.[\"']?{re.escape(handler)}[\"'\].]", answer)
            and not _view(site, config, read(config) or b"").disabled
        ):
            raise EngineError(f"containerd does not see the handler {handler}", file=config, fix="is this the file that it reads?")
        return "containerd config dump"

    def status(self, site: Site, request: Request) -> Status:
        status = Status(self.name, site.program(self.program), self.version(site), self.config(site, request))
        data = read(status.config)
        if data is None:
            return status
        view = _view(site, status.config, data)
        native = newer(status.version, "1.7.2")
        for name, entry in view.runtimes.items():
            binary = tomlfile.get(entry, ("options", "BinaryName"))
            if ours(binary):
                passed, pods = (list(map(str, entry.get(key) or [])) for key in ("container_annotations", "pod_annotations"))
                found = Handler(name, binary, _holder(view, name), view.default == name, passed, pods)
                status.handlers.append(found)
                self._judge(site, status, found)
        if view.disabled:
            status.problems.append(("disabled_plugins names the CRI plugin: no pod can be created", f"take it out of {status.config}"))
        if native:
            status.notes.append(
                "resolves CDI devices itself (CRI field CDIDevices and container annotations); the wrapper adds checks against the host, "
                "hardened hooks, and requests by other prefixes; what the engine injected already is recognised and not injected twice"
            )
        elif status.version:
            status.notes.append("drops the CRI field CDIDevices in silence (CDI came with 1.7.2): requests must be annotations")
        return status

    def _judge(self, site: Site, status: Status, found: Handler) -> None:
        missing = [prefix for prefix in site.prefixes if not any(_passes(item, prefix) for item in found.annotations)]
        if missing:
            what = f"handler {found.name}: container_annotations lets {', '.join(missing)} not through: no such request reaches us"
            status.problems.append((what, f"cdi-hook configure containerd --handler {found.name}"))
        if any(_lets_through(item, site.prefixes) for item in found.pod_annotations):
            status.notes.append(
                f"handler {found.name}: pod_annotations lets requests through: whoever may create a pod may ask for any device"
            )


def _forgets_runc(view: View) -> bool:
    """Whether the runc that containerd has by itself would be lost by naming another runtime."""
    return "runc" not in view.runtimes and view.default == "runc"


def _put(text: str, base: tuple[str, ...], name: str, there: Any, entry: dict[str, Any], file: str) -> str:
    path = (*base, name)
    if there == entry:
        return text
    if there is not None:
        return tomlfile.replace_table(text, path, entry, file)
    near: tuple[str, ...] = (*base, "runc") if tomlfile.get(tomlfile.parse(text, file), (*base, "runc")) else base[:-2]
    return tomlfile.add_table(text, path, entry, file, after=near)


def _made(path: str) -> str:
    """The directory that is imported from then on, when the main file at ``path`` imports none."""
    return os.path.join(os.path.dirname(path), os.path.basename(DROPIN))


def _without_import(text: str, path: str, item: str | None, handler: str) -> str:
    """The main file without the import that we added, unless another drop-in has come into that directory."""
    listed = tomlfile.parse(text, path).get("imports")
    if not item or not isinstance(listed, list) or item not in listed:
        return text
    if [name for name in glob.glob(item) if os.path.basename(name) != f"cdi-hook-{handler}.toml"]:
        return text
    return tomlfile.set_value(text, ("imports",), [other for other in listed if other != item] or None, path)


def _holder(view: View, name: str) -> str:
    files = [f.path for f in view.files if tomlfile.get(f.values, (*f.plugin, "containerd", "runtimes", name)) is not None]
    return files[-1] if files else view.target.path


def _passes(pattern: str, prefix: str) -> bool:
    """Does a passthrough pattern let every key with this prefix through?"""
    return pattern.endswith("*") and "*" not in pattern[:-1] and prefix.startswith(pattern[:-1])


def _lets_through(pattern: str, prefixes: tuple[str, ...]) -> bool:
    """Does a passthrough pattern let some request through?"""
    stem = pattern.split("*", 1)[0]
    return any(stem.startswith(prefix) or ("*" in pattern and prefix.startswith(stem)) for prefix in prefixes)


def _last(answer: str) -> str:
    lines = answer.strip().splitlines()
    return lines[-1] if lines else "no reason given"


ENGINE = Containerd()
