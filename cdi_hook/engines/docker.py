"""Docker: a runtime in ``daemon.json``, whose other bytes stay as they are. Row 4, cold."""

from __future__ import annotations

import os
import re
from typing import Any

from cdi_hook.engines import jsonfile
from cdi_hook.engines.base import Change, Engine, Handler, Plan, Request, Site, Status, change, existing, foreign, newer, ours, read
from cdi_hook.errors import EngineError

CONFIG = "/etc/docker/daemon.json"
BACKUP = ".before-cdi-hook"
"""Suffix of the copy that is made before the first change."""


class Docker(Engine):
    """See the module."""

    name = "docker"
    program = "dockerd"
    restart = "systemctl reload docker"
    no_hook = "Docker knows no OCI hooks directory"

    def config(self, site: Site, request: Request) -> str:
        return existing(site, request, CONFIG)[0]

    def _open(self, site: Site, request: Request) -> tuple[str, bytes | None, dict[str, Any]]:
        path, data = existing(site, request, CONFIG)
        text = (data or b"").decode("utf-8")
        values = jsonfile.parse(text, path) if text.strip() else {}
        runtimes = values.get("runtimes")
        if not isinstance(runtimes, (dict, type(None))) or not all(isinstance(entry, dict) for entry in (runtimes or {}).values()):
            raise EngineError("is not an object of objects", file=path, field="runtimes")
        return path, data, values

    def own_runtime(self, site: Site, request: Request) -> str:
        _, _, values = self._open(site, request)
        default = values.get("default-runtime") or "runc"
        path = (values.get("runtimes") or {}).get(default, {}).get("path") or default
        return "" if ours(path) else str(path)

    def plan(self, site: Site, request: Request, wrapper: str) -> Plan:
        path, data, values = self._open(site, request)
        there = (values.get("runtimes") or {}).get(request.handler)
        if there is not None and not ours(there.get("path")):
            raise foreign(request.handler, there.get("path") or there.get("runtimeType"), path)
        _check_flags(site, path, "--add-runtime", "runtimes")
        if request.set_default:
            _check_flags(site, path, "--default-runtime", "default-runtime")
        text = (data or b"").decode("utf-8")
        new = text if text.strip() else "{}\n"
        if there != {"path": wrapper}:
            if values.get("runtimes", ...) is None:
                new = jsonfile.remove_member(new, ("runtimes",))  # null
            new = jsonfile.set_member(new, ("runtimes", request.handler), {"path": wrapper})
        if request.set_default and values.get("default-runtime") != request.handler:
            new = jsonfile.set_member(new, ("default-runtime",), request.handler)
        jsonfile.parse(new, path)
        plan = Plan(config=path, old={"default": values.get("default-runtime")})
        edit = change(path, data, new.encode("utf-8"))
        if edit and data is not None and read(path + BACKUP) is None:
            plan.changes.append(Change(path + BACKUP, None, data, "backup", edit[0].mode, edit[0].uid, edit[0].gid))
        plan.changes += edit
        version = self.version(site)
        if version and not newer(version, "24.0"):
            plan.notes.append(
                f"Docker {version} passes no annotations on: containers ask for devices through requests.environment or requests.mounts, "
                f"which {site.settings} turns on"
            )
        return plan

    def strip(self, site: Site, path: str, data: bytes, handler: str, old: dict[str, Any]) -> bytes | None:
        text = data.decode("utf-8")
        values = jsonfile.parse(text, path)
        runtimes = values.get("runtimes") or {}
        if ours((runtimes.get(handler) or {}).get("path")):
            text = jsonfile.remove_member(text, ("runtimes",) if len(runtimes) == 1 else ("runtimes", handler))
            if values.get("default-runtime") == handler:
                if old.get("default") is None:
                    text = jsonfile.remove_member(text, ("default-runtime",))
                else:
                    text = jsonfile.set_member(text, ("default-runtime",), old["default"])
        return text.encode("utf-8")

    def check(self, site: Site, config: str, handler: str) -> str:
        program = site.program(self.program)
        if not program or not newer(self.version(site), "23.0"):
            return ""
        status, answer = site.ask(program, "--validate", "--config-file", config)
        if status:
            lines = answer.strip().splitlines() or ["no reason given"]
            raise EngineError(f"dockerd refuses the file: {lines[-1]}", file=config)
        return "dockerd --validate"

    def status(self, site: Site, request: Request) -> Status:
        status = Status(self.name, site.program(self.program), self.version(site), self.config(site, request))
        data = read(status.config)
        text = (data or b"").decode("utf-8")
        values = jsonfile.parse(text, status.config) if text.strip() else {}
        for name, entry in (values.get("runtimes") or {}).items():
            if isinstance(entry, dict) and ours(entry.get("path")):
                status.handlers.append(Handler(name, entry["path"], status.config, values.get("default-runtime") == name))
        if newer(status.version, "25.0"):
            how = "by default" if newer(status.version, "28.2") else 'when daemon.json says "features": {"cdi": true}'
            status.notes.append(
                f"resolves `--device vendor.com/class=name` itself {how}; the wrapper serves annotations, environment and mounts"
            )
        elif status.handlers and not newer(status.version, "24.0"):
            status.notes.append(
                "passes no annotations on: requests come by requests.mounts or requests.environment, as far as the settings turn them on"
            )
        other = _other_config(site, status.config)
        if status.handlers and other:
            status.problems.append(
                (f"the running dockerd reads {other}, not {status.config}", f"cdi-hook configure docker --config {other}")
            )
        return status


def _daemons(site: Site) -> list[tuple[int, list[str]]]:
    """Pid and command line of each dockerd that is running."""
    found = []
    proc = site.at("/proc")
    for name in filter(str.isdigit, os.listdir(proc) if os.path.isdir(proc) else ()):
        try:
            with open(f"{proc}/{name}/cmdline", "rb") as stream:
                words = os.fsdecode(stream.read()).split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "dockerd":
            found.append((int(name), words))
    return found


def _config_of(words: list[str]) -> str:
    """The file that a dockerd with this command line reads."""
    match = re.search(r"(?:^|\0)--config-file[=\0]([^\0]+)", "\0".join(words))
    return match[1] if match else CONFIG


def _check_flags(site: Site, path: str, flag: str, member: str) -> None:
    """Raise EngineError when a running dockerd that reads this file has the same setting as a flag: it then refuses to start."""
    for pid, words in _daemons(site):
        if site.at(_config_of(words)) == path and any(word == flag or word.startswith(f"{flag}=") for word in words):
            reason = f"dockerd (process {pid}) was started with {flag}, and does not start when the file has {member} as well"
            raise EngineError(
                reason, file=path, field=member, fix=f"move {flag} from dockerd's command line into the file, and restart it first"
            )


def _other_config(site: Site, path: str) -> str:
    """The file that the only running dockerd was told to read, when it is another one."""
    found = {_config_of(words) for _, words in _daemons(site)}
    return found.pop() if len(found) == 1 and found != {path} and found != {CONFIG} else ""


ENGINE = Docker()
