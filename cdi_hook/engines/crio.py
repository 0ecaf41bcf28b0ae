"""CRI-O: a drop-in below ``crio.conf.d`` with a runtime handler, or a createRuntime hook. Row 4, cold.

CRI-O passes every annotation on by itself. ``cdi.k8s.io`` must not stand in ``allowed_annotations``: CRI-O then ignores the handler. The
handler keeps the default runtime's ``runtime_root``, since CRI-O would choose ``/run/NAME``: for a handler called ``cdi`` that is a CDI
spec directory.
"""

from __future__ import annotations

import glob
import os
from typing import Any

from cdi_hook.engines import hooksd, tomlfile
from cdi_hook.engines.base import Engine, Handler, Plan, Request, Site, Status, change, foreign, ours, read
from cdi_hook.errors import EngineError

CONFIG = "/etc/crio/crio.conf"
_RUNTIME = ("crio", "runtime")
_SEARCHED = ("/usr/libexec/crio", "/usr/lib/crio", "/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin")
_FORBIDDEN = ("cdi.k8s.io",)
_NATIVE = (
    "resolves CDI devices itself and fails on an unknown one in a container's annotations before the wrapper is called; the wrapper "
    "serves pod annotations and other prefixes, and adds checks and hardening; what CRI-O injected already is not injected twice"
)


class Crio(Engine):
    """See the module."""

    name = "crio"
    program = "crio"
    restart = "systemctl restart crio"
    stages = ("createRuntime",)

    def config(self, site: Site, request: Request) -> str:
        path = os.path.abspath(request.config) if request.config else site.at(CONFIG)
        missing = not os.path.lexists(path)
        if missing and request.config:
            raise EngineError("is missing", file=path, field="--config", fix="name the file that CRI-O reads")
        if missing and not os.path.isdir(path + ".d"):
            raise EngineError(f"is missing, and {path}.d too: CRI-O is not set up here", file=path, fix="name its file: --config FILE")
        return path

    def _load(self, site: Site, request: Request) -> tuple[str, dict[str, Any], dict[str, str]]:
        """(main file, the merged ``crio.runtime`` table, the file that each handler comes from last)."""
        path = self.config(site, request)
        merged: dict[str, Any] = {}
        holders: dict[str, str] = {}
        for name in [path, *sorted(glob.glob(glob.escape(path) + ".d/*"))]:
            data = read(name) if name == path or os.path.isfile(name) else None
            if data is None:
                continue
            runtime = tomlfile.table(tomlfile.parse(data.decode("utf-8"), name), _RUNTIME)
            runtimes = {**merged.get("runtimes", {}), **tomlfile.table(runtime, ("runtimes",))}
            holders.update(dict.fromkeys(tomlfile.table(runtime, ("runtimes",)), name))
            merged = {**merged, **runtime, "runtimes": runtimes}
        return path, merged, holders

    @staticmethod
    def _dropin(path: str, handler: str) -> str:
        return f"{path}.d/90-cdi-hook-{handler}.conf"

    def own_runtime(self, site: Site, request: Request) -> str:
        _, runtime, _ = self._load(site, request)
        name = str(runtime.get("default_runtime") or "crun")
        found = tomlfile.get(runtime, ("runtimes", name, "runtime_path"))
        if found:
            return "" if ours(found) else str(found)
        candidates = [os.path.join(site.at(directory), name) for directory in _SEARCHED]
        return next((path for path in candidates if os.access(path, os.X_OK)), name)

    def plan(self, site: Site, request: Request, wrapper: str) -> Plan:
        path, runtime, holders = self._load(site, request)
        plan = Plan(config=path, old={"default": runtime.get("default_runtime")})
        if request.stage:
            hooks = [str(item) for item in runtime.get("hooks_dir") or []] or [site.at(hooksd.SHARED)]
            plan.changes = hooksd.install(site, request.stage, hooks[0])
            return plan
        there = tomlfile.table(runtime, ("runtimes", request.handler))
        if there and not ours(there.get("runtime_path")):
            raise foreign(request.handler, there.get("runtime_path"), holders[request.handler])
        default = str(runtime.get("default_runtime") or "crun")
        source = there or tomlfile.table(runtime, ("runtimes", default))
        if str(source.get("runtime_type") or "oci") != "oci":
            source = {}  # a VM runtime's keys mean nothing to an OCI one
        entry = {
            "runtime_path": wrapper,
            "runtime_type": "oci",
            **{k: v for k, v in source.items() if k not in ("runtime_path", "runtime_type")},
        }
        entry["runtime_root"] = str(source.get("runtime_root") or f"/run/{default if default in ('runc', 'crun') else 'runc'}")
        allowed = source.get("allowed_annotations")
        if isinstance(allowed, list):
            entry["allowed_annotations"] = [item for item in allowed if not str(item).startswith(_FORBIDDEN)]
            if entry["allowed_annotations"] != allowed:
                plan.notes.append("cdi.k8s.io is left out of allowed_annotations: CRI-O would ignore the handler")
        text = f"# Written by cdi-hook configure; taken out by: cdi-hook unconfigure crio --handler {request.handler}\n"
        target = self._dropin(path, request.handler)
        if request.set_default or runtime.get("default_runtime") == request.handler:
            text = tomlfile.add_table(text, _RUNTIME, {"default_runtime": request.handler}, target)
        text = tomlfile.add_table(text, (*_RUNTIME, "runtimes", request.handler), entry, target)
        plan.changes = change(target, read(target), text.encode("utf-8"))
        return plan

    def strip(self, site: Site, path: str, data: bytes, handler: str, old: dict[str, Any]) -> bytes | None:
        if path.endswith(".json"):
            return None if hooksd.is_ours(data) else data
        text = data.decode("utf-8")
        values = tomlfile.table(tomlfile.parse(text, path), _RUNTIME)
        if ours(tomlfile.get(values, ("runtimes", handler, "runtime_path"))):
            text = tomlfile.remove_table(text, (*_RUNTIME, "runtimes", handler), path)
            if values.get("default_runtime") == handler:
                text = tomlfile.set_value(text, (*_RUNTIME, "default_runtime"), None, path)
        return text.encode("utf-8") if tomlfile.parse(text, path) else None

    def check(self, site: Site, config: str, handler: str) -> str:
        program = site.program(self.program)
        if not program:
            return ""
        status, answer = site.ask(program, "--config", config, "--config-dir", config + ".d", "config")
        if status:
            lines = answer.strip().splitlines() or ["no reason given"]
            raise EngineError(f"CRI-O refuses the file: {lines[-1]}", file=config)
        return "crio config"

    def status(self, site: Site, request: Request) -> Status:
        status = Status(
            self.name,
            site.program(self.program),
            self.version(site),
            os.path.abspath(request.config) if request.config else site.at(CONFIG),
        )
        if not (os.path.lexists(status.config) or os.path.isdir(status.config + ".d")):
            return status
        _, runtime, holders = self._load(site, request)
        for name, entry in runtime["runtimes"].items() if "runtimes" in runtime else ():
            if not (isinstance(entry, dict) and ours(entry.get("runtime_path"))):
                continue
            found = Handler(name, entry["runtime_path"], holders[name], runtime.get("default_runtime") == name, ["all"], ["all"])
            status.handlers.append(found)
            mend = f"cdi-hook configure crio --handler {name}"
            if any(str(item).startswith(_FORBIDDEN) for item in entry.get("allowed_annotations") or []):
                status.problems.append((f"handler {name}: allowed_annotations names cdi.k8s.io: CRI-O ignores the handler", mend))
            if os.path.normpath(str(entry.get("runtime_root") or f"/run/{name}")) in ("/run/cdi", "/var/run/cdi"):
                status.problems.append((f"handler {name}: runtime_root is the CDI spec directory /run/cdi", mend))
        status.notes.append(_NATIVE)
        return status

    def hooks_dirs(self, site: Site, request: Request) -> list[str]:
        if not (request.config or os.path.lexists(site.at(CONFIG)) or os.path.isdir(site.at(CONFIG) + ".d")):
            return []
        listed = self._load(site, request)[1].get("hooks_dir")
        return [str(item) for item in listed or []] or [site.at(hooksd.SHARED)]


ENGINE = Crio()
