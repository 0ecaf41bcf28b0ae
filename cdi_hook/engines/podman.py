"""podman: a runtime in a ``containers.conf`` drop-in, or hooks in a hooks directory. Row 4, cold.

``runtime_supports_json`` has to name the runtime, or podman passes no ``--log`` and our message is lost; the key replaces podman's list,
so the whole list is written. A plain user gets drop-ins below ``~/.config``.
"""

from __future__ import annotations

import glob
import os
from typing import Any

from cdi_hook.engines import hooksd, tomlfile
from cdi_hook.engines.base import Engine, Handler, Plan, Request, Site, Status, change, existing, foreign, hook_key, newer, ours, read

VENDOR = "/usr/share/containers/containers.conf"
CONFIG = "/etc/containers/containers.conf"
_DROPIN = "99-cdi-hook.conf"
_HOOKS = "cdi-hook-hooks.d"
"""A hooks directory of podman's own, beside its configuration: no other engine reads it."""

JSON_RUNTIMES = ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail"]
"""podman's own ``runtime_supports_json``, of all its versions together: a name that is not installed does no harm."""

_HEAD = "# Written by cdi-hook configure; taken out by: cdi-hook unconfigure podman\n"


class Podman(Engine):
    """See the module."""

    name = "podman"
    program = "podman"
    stages = ("precreate", "createRuntime")

    def _base(self, site: Site) -> str:
        """The containers.conf whose ``.d`` directory is ours to use: the system's, or the user's."""
        if site.uid == 0:
            return site.at(CONFIG)
        return os.path.join(site.environ.get("XDG_CONFIG_HOME") or os.path.join(site.home, ".config"), "containers/containers.conf")

    def config(self, site: Site, request: Request) -> str:
        named = request.config or site.environ.get("CONTAINERS_CONF", "")
        if named:
            return existing(site, Request(config=named), CONFIG)[0]
        return os.path.join(self._base(site) + ".d", _DROPIN)

    def _chain(self, site: Site, path: str) -> list[str]:
        """The files that podman reads, later ones win."""
        usual = [site.at(VENDOR), site.at(CONFIG), *sorted(glob.glob(glob.escape(site.at(CONFIG)) + ".d/*.conf"))]
        if site.uid:
            usual += [self._base(site), *sorted(glob.glob(glob.escape(self._base(site)) + ".d/*.conf"))]
        if os.path.basename(path) != _DROPIN and path not in usual:
            return [path]  # CONTAINERS_CONF: podman reads nothing else
        return usual

    def _engine(self, site: Site, path: str) -> dict[str, Any]:
        """The merged ``engine`` table, ``runtimes`` included."""
        merged: dict[str, Any] = {}
        for name in self._chain(site, path):
            data = read(os.path.realpath(name))
            if data is None:
                continue
            engine = tomlfile.table(tomlfile.parse(data.decode("utf-8"), name), ("engine",))
            runtimes = {**merged.get("runtimes", {}), **tomlfile.table(engine, ("runtimes",))}
            merged = {**merged, **engine, "runtimes": runtimes}
        return merged

    def own_runtime(self, site: Site, request: Request) -> str:
        engine = self._engine(site, self.config(site, request))
        for name in [engine["runtime"]] if engine.get("runtime") else ["crun", "runc"]:
            paths = [*((engine.get("runtimes") or {}).get(name) or []), *([name] if os.path.isabs(str(name)) else [])]
            if any(ours(path) for path in paths):
                return ""
            found = next((str(path) for path in paths if os.access(path, os.X_OK)), "") or site.program(str(name))
            if found:
                return found
        return ""

    def plan(self, site: Site, request: Request, wrapper: str) -> Plan:
        path = self.config(site, request)
        data = read(path)
        engine = self._engine(site, path)
        text = (data or b"").decode("utf-8")
        tomlfile.parse(text, path)
        plan = Plan(config=path, old={"default": None if data is None else tomlfile.get(tomlfile.parse(text, path), ("engine", "runtime"))})
        text = text or _HEAD
        if request.stage:
            return self._hook(site, request, plan, text, engine)
        there = (engine.get("runtimes") or {}).get(request.handler)
        if there is not None and not (isinstance(there, list) and there and ours(there[0])):
            raise foreign(request.handler, there, path)
        if there != [wrapper]:
            text = tomlfile.set_value(text, ("engine", "runtimes", request.handler), [wrapper], path)
        listed = engine.get("runtime_supports_json")
        names = [str(name) for name in (JSON_RUNTIMES if listed is None else listed)]
        wanted = [name for name in (request.handler, os.path.basename(wrapper)) if name not in names]
        if wanted:
            text = tomlfile.set_value(text, ("engine", "runtime_supports_json"), names + wanted, path)
        if request.set_default and engine.get("runtime") != request.handler:
            text = tomlfile.set_value(text, ("engine", "runtime"), request.handler, path)
        if there != [wrapper] or wanted or (request.set_default and engine.get("runtime") != request.handler):
            plan.changes = change(path, data, text.encode("utf-8"))
        here = tomlfile.get(tomlfile.parse((data or b"").decode("utf-8"), path), ("engine", "runtime_supports_json"))
        plan.old.update(listed=here, listed_base=names)
        return plan

    def _hook(self, site: Site, request: Request, plan: Plan, text: str, engine: dict[str, Any]) -> Plan:
        hooks = [str(item) for item in engine.get("hooks_dir") or []] or [site.at(hooksd.SHARED)]
        own = _own_hooks(plan.config)
        if request.stage == "createRuntime":
            plan.changes = hooksd.install(site, request.stage, next(item for item in [*hooks, site.at(hooksd.SHARED)] if item != own))
            return plan
        data = read(plan.config)
        plan.changes = hooksd.install(site, request.stage, own)
        here = tomlfile.get(tomlfile.parse((data or b"").decode("utf-8"), plan.config), ("engine", "hooks_dir"))
        plan.old.update(hooks=here, hooks_base=hooks)
        if own not in hooks:
            text = tomlfile.set_value(text, ("engine", "hooks_dir"), [*hooks, own], plan.config)
            plan.changes += change(plan.config, data, text.encode("utf-8"))
        return plan

    def strip(self, site: Site, path: str, data: bytes, handler: str, old: dict[str, Any]) -> bytes | None:
        if path.endswith(".json"):
            return None if hooksd.is_ours(data) else data
        text = data.decode("utf-8")
        engine = tomlfile.table(tomlfile.parse(text, path), ("engine",))
        runtimes = tomlfile.table(engine, ("runtimes",))
        there = runtimes.get(handler)
        if isinstance(there, list) and there and ours(there[0]):
            text = tomlfile.set_value(text, ("engine", "runtimes", handler), None, path)
            others = [name for name, paths in runtimes.items() if name != handler and isinstance(paths, list) and any(map(ours, paths))]
            listed = [str(name) for name in engine.get("runtime_supports_json") or []]
            rest = [name for name in listed if name != handler and (others or not ours(name))]
            written = not old.get("listed") and rest == old.get("listed_base", JSON_RUNTIMES)  # the list was ours altogether
            text = tomlfile.set_value(text, ("engine", "runtime_supports_json"), None if written else rest or None, path)
            if engine.get("runtime") == handler:
                text = tomlfile.set_value(text, ("engine", "runtime"), old.get("default"), path)
        hooks = engine.get("hooks_dir") or []
        if handler == hook_key("precreate") and hooks:
            rest = [item for item in hooks if os.path.basename(str(item)) != _HOOKS]
            written = not old.get("hooks") and rest == old.get("hooks_base", [site.at(hooksd.SHARED)])
            text = tomlfile.set_value(text, ("engine", "hooks_dir"), None if written else rest or None, path)
        return None if os.path.basename(path) == _DROPIN and not tomlfile.parse(text, path) else text.encode("utf-8")

    def check(self, site: Site, config: str, handler: str) -> str:
        return ""  # podman has no command that only reads its configuration

    def status(self, site: Site, request: Request) -> Status:
        status = Status(self.name, site.program(self.program), self.version(site), self.config(site, request))
        engine = self._engine(site, status.config)
        listed = engine.get("runtime_supports_json") or JSON_RUNTIMES
        for name, paths in (engine.get("runtimes") or {}).items():
            if not (isinstance(paths, list) and paths and ours(paths[0])):
                continue
            status.handlers.append(Handler(name, str(paths[0]), status.config, engine.get("runtime") == name, ["all"]))
            if name not in listed:
                what = f"handler {name}: runtime_supports_json does not name it: podman shows none of our messages"
                status.problems.append((what, f"cdi-hook configure podman --handler {name}"))
        if newer(status.version, "4.1"):
            status.notes.append(
                "resolves `--device vendor.com/class=name` itself; the wrapper serves `--annotation cdi.k8s.io/KEY=vendor.com/class=name`"
            )
        return status

    def hooks_dirs(self, site: Site, request: Request) -> list[str]:
        listed = self._engine(site, self.config(site, request)).get("hooks_dir")
        return [str(item) for item in listed or []] or [site.at(hooksd.SHARED)]


def _own_hooks(config: str) -> str:
    """The hooks directory beside a configuration file; for a drop-in beside its directory."""
    place = os.path.dirname(config)
    return os.path.join(os.path.dirname(place) if place.endswith(".conf.d") else place, _HOOKS)


ENGINE = Podman()
