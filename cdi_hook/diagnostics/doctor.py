"""Examines the whole chain of a request on this host: engine, handler, wrapper, runtime, settings, specs, hooks. Row 6, cold.

Returns data; ``cli/doctor`` prints it. A problem is something that keeps a request from being fulfilled, with the command that mends it;
``unknown`` is what could not be found out; notes are worth knowing and need nothing done.
"""

from __future__ import annotations

import os
import stat
from dataclasses import asdict

from cdi_hook import engines, host, memory
from cdi_hook.cdi import advice, edits, index
from cdi_hook.cdi.registry import Registry
from cdi_hook.engines import hooksd, wiring
from cdi_hook.engines.base import Engine, Request, Site, Status
from cdi_hook.errors import CdiError, StaleError
from cdi_hook.pipeline import stale
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.diagnostics.reports import EngineReport, Examination, HandlerReport, PathReport, Remark, RuntimeReport
    from cdi_hook.model import Part, Settings

_INSTALL = "sh packaging/install.sh"


def examine(site: Site, configs: dict[str, str] | None = None) -> Examination:
    """Look at everything. ``configs``: for an engine the file that it reads, where that is not the usual one. Never raises CdiError."""
    report: Examination = {"problems": [], "unknown": [], "notes": []}  # type: ignore[typeddict-item] # filled in below
    ours = _settings(site, report)
    report["engines"] = [_engine(site, name, (configs or {}).get(name, ""), ours, report) for name in engines.ENGINES]
    handlers = [(engine["engine"], handler) for engine in report["engines"] for handler in engine["handlers"]]
    _wrapper(site, ours, report)
    for name, handler in handlers:
        _handler(site, ours, name, handler, (configs or {}).get(name, ""), report)
    _runtime(site, ours, report)
    registry = _specs(ours, report)
    _index(ours, registry, report)
    _hooks(site, configs or {}, report)
    _host(site, registry, report)
    unread = {item["subject"] for item in report["unknown"]} & set(engines.ENGINES)
    if not handlers and not report["hooks"] and not unread:
        installed = [engine["engine"] for engine in report["engines"] if engine["program"]]
        fix = f"cdi-hook configure {installed[0]}" if installed else "install an engine first"
        _problem(report, "engines", "no engine here calls cdi-runtime: requests reach nobody", fix)
    return report


def verdict(report: Examination) -> int:
    """The exit status: 0 all is well, 1 there are problems, 3 something could not be found out."""
    return 1 if report["problems"] else 3 if report["unknown"] else 0


def _problem(report: Examination, subject: str, what: str, fix: str) -> None:
    report["problems"].append({"subject": subject, "what": what, "fix": fix})


def _settings(site: Site, report: Examination) -> Settings:
    ours, fault = values.read(site.settings, False)
    if fault is not None:
        _problem(report, "settings", str(fault), f"edit {fault.file or site.settings}")
    there = os.path.lexists(site.settings)
    report["settings"] = {"file": site.settings, "exists": there, "enabled": ours["enabled"], "values": dict(ours)}
    if not ours["enabled"]:
        _problem(report, "settings", "enabled is false: every request is ignored", f"sed -i 's/^enabled:.*/enabled: true/' {site.settings}")
    return dict(ours)


def _engine(site: Site, name: str, config: str, ours: Settings, report: Examination) -> EngineReport:
    engine = engines.load(name)
    try:
        status = engine.status(site, Request(config=config))
    except CdiError as error:
        status = Status(name, site.program(engine.program), engine.version(site), os.path.abspath(config) if config else error.file)
        what: Remark = {"subject": name, "what": f"cannot tell how it is configured: {error}"}
        if status.program or os.path.lexists(error.file):
            report["unknown"].append(what)
    for what_is, fix in status.problems:
        _problem(report, name, what_is, fix)
    report["unknown"] += [{"subject": name, "what": text} for text in status.unknown]
    if status.program:
        report["notes"] += [{"subject": name, "what": text} for text in status.notes]
        if not status.version:
            report["unknown"].append({"subject": name, "what": f"{status.program} does not say its version"})
    if name == "docker" and status.handlers and not (ours["requests.environment"] or ours["requests.mounts"]):
        _docker_requests(site, engine, status, report)
    found: EngineReport = asdict(status)  # type: ignore[assignment] # its fields; ``runtime`` of each handler comes later
    return found


def _docker_requests(site: Site, engine: Engine, status: Status, report: Examination) -> None:
    if status.version and int(status.version.split(".")[0]) < 24:
        what = f"Docker {status.version} passes no annotations on; with requests.environment and requests.mounts off no request reaches us"
        _problem(report, engine.name, what, f"set requests.mounts: true in {site.settings} (under requests:)")


def _wrapper(site: Site, ours: Settings, report: Examination) -> None:
    report["wrapper"] = {"path": site.wrapper, "present": os.access(site.wrapper, os.X_OK)}
    if not report["wrapper"]["present"]:
        _problem(report, "wrapper", f"{site.wrapper} is not there", _INSTALL)


def _handler(site: Site, ours: Settings, engine: str, handler: HandlerReport, config: str, report: Examination) -> None:
    """What stands behind a handler: the program that it calls, its settings file and, as ``runtime``, the real runtime."""
    name, path = handler["name"], handler["path"]
    handler["runtime"] = ours["runtime"]
    if path != site.wrapper and not (os.path.isabs(path) and os.access(path, os.X_OK)):
        fix = f"cdi-hook configure {engine} --handler {name}" + (f" --config {config}" if config else "")
        what = f"handler {name} in {handler['file']} calls {path}, which is not there"
        _problem(report, "wrapper", what, fix if report["wrapper"]["present"] else _INSTALL)
    own = os.path.basename(path).partition("cdi-runtime-")[2]
    if own:
        _own_settings(site, handler, os.path.join(site.at(values.DIRECTORY), f"{own}.yaml"), report)


def _own_settings(site: Site, handler: HandlerReport, file: str, report: Examination) -> None:
    ours, fault = values.read(file, True)
    handler["runtime"] = ours["runtime"]
    if not os.path.lexists(file):
        _problem(report, "settings", f"handler {handler['name']} reads {file}, which is missing", f"cp {site.settings} {file}")
    elif fault is not None:
        _problem(report, "settings", str(fault), f"edit {file}")


def _runtime(site: Site, ours: Settings, report: Examination) -> None:
    path = str(ours["runtime"])
    found: RuntimeReport = {"path": path, "from": site.settings if path else "PATH", "version": ""}
    own = next((p for name in wiring.CANDIDATES if (p := site.program(name))), "")
    if not path:
        found["path"] = path = own
    report["runtime"] = found
    fix = f"sed -i 's|^runtime:.*|runtime: {own or '/path/to/runc'}|' {site.settings}"
    if not path:
        _problem(report, "runtime", "neither runc nor crun is on PATH, and the settings name no runtime", "apt install runc")
    elif not os.access(path, os.X_OK):
        _problem(report, "runtime", f"{path} cannot be run", fix)
    elif os.path.realpath(path) == os.path.realpath(site.wrapper):
        _problem(report, "runtime", f"{path} is the wrapper itself", fix)
    else:
        status, text = site.ask(path, "--version")
        if status:
            report["unknown"].append({"subject": "runtime", "what": f"{path} --version: exit {status}"})
        found["version"] = text.splitlines()[0] if text and not status else ""


def _specs(ours: Settings, report: Examination) -> Registry:
    registry = Registry.discover(ours["specDirs"])
    directories: list[PathReport] = [{"path": path, "exists": os.path.isdir(path)} for path in ours["specDirs"]]
    report["specs"] = {"directories": directories, "files": len(registry.specs), "devices": len(registry.devices())}
    for errors in registry.errors.values():
        for error in errors:
            _problem(report, "specs", str(error), f"cdi-hook validate {error.file}".strip())
    if registry.is_empty():
        where = ", ".join(ours["specDirs"])
        _problem(
            report,
            "specs",
            f"no device is defined in {where}",
            "run the vendor's generator, or write a spec there",
        )
    for part in registry.parts(registry.devices()):
        for fault in _contradicted(part):
            located = advice.locate(fault)
            fix, located.fix = located.fix, ""
            _problem(report, "specs", f"{fault.device}: {located}" if fault.device else str(located), fix)
    return registry


def _contradicted(part: Part) -> list[StaleError]:
    """What this host has otherwise, and a node that it does not have at all: with that no container could be made."""
    faults = stale.check([part], host.node, host.exists)
    if faults:
        return faults
    try:
        edits.to_oci([part], {}, host.node)
    except StaleError as fault:
        return [fault]
    return []


def _index(ours: Settings, registry: Registry, report: Examination) -> None:
    devices = registry.devices()
    fresh = bool(devices) and index.parts(ours["specDirs"], devices[:1]) is not None
    report["index"] = {"home": memory.SYSTEM_HOME, "fresh": fresh}
    if devices and not fresh:
        report["notes"].append({"subject": "index", "what": "is not there or out of date; the next request writes it"})


def _hooks(site: Site, configs: dict[str, str], report: Examination) -> None:
    """Our hooks in the directories of podman and CRI-O. podman skips a hook whose program is missing without a word."""
    directories = [site.at(hooksd.SHARED)]
    for name in ("podman", "crio"):
        try:
            listed = engines.load(name).hooks_dirs(site, Request(config=configs.get(name, "")))
            directories += [path for path in listed if path not in directories]
        except CdiError:
            continue  # reported with the engine
    report["hooks"] = []
    for file, program, stages in hooksd.found(directories):
        present = os.access(program, os.X_OK)
        report["hooks"].append({"file": file, "program": program, "stages": stages, "present": present})
        if not present:
            _problem(report, "hooks", f"{file} calls {program}, which is not there: containers start without devices", _INSTALL)
        if "precreate" in stages and os.path.dirname(file) == site.at(hooksd.SHARED):
            _problem(
                report,
                "hooks",
                f"{file} keeps CRI-O from starting (unknown stage precreate)",
                f"rm {file}; cdi-hook configure podman --hook",
            )


def _host(site: Site, registry: Registry, report: Examination) -> None:
    """Under systemd's cgroups a device rule is known by its ``/dev/char`` or ``/dev/block`` link; without one, a daemon-reload drops it."""
    systemd = os.path.isdir(site.at("/run/systemd/system"))
    unified = os.path.exists(site.at("/sys/fs/cgroup/cgroup.controllers"))
    hybrid = os.path.exists(site.at("/sys/fs/cgroup/unified/cgroup.controllers"))
    report["host"] = {"systemd": systemd, "cgroups": "v2" if unified else "hybrid" if hybrid else "v1", "missing_links": []}
    if not systemd:
        return
    for path in sorted(_nodes(registry)):
        try:
            found = os.stat(site.at(path))
        except OSError:
            continue  # staleness is the specs' matter
        if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            continue
        kind = "char" if stat.S_ISCHR(found.st_mode) else "block"
        link = f"/dev/{kind}/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        if not os.path.lexists(site.at(link)):
            report["host"]["missing_links"].append(link)
            what = f"{link} is missing: systemctl daemon-reload takes {path} away from containers under systemd cgroups"
            _problem(report, "host", what, f"mkdir -p {os.path.dirname(link)}; ln -s {path} {link}")


def _nodes(registry: Registry) -> set[str]:
    paths = set()
    for spec in registry.specs:
        for found in [spec.spec["containerEdits"], *(device["containerEdits"] for device in spec.devices.values())]:
            for node in found.get("deviceNodes", []):
                paths.add(str(node.get("hostPath") or node["path"]))
    return paths
