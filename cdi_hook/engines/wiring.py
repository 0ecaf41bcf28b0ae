"""Our side of a handler: its settings file, its real runtime, its link. Row 4, cold.

All handlers share ``config.yaml``. One that wants another real runtime gets ``cdi-runtime-NAME``, a link beside the wrapper, which reads
``/etc/cdi-hook/NAME.yaml``: engines pass no arguments, so the name is how two handlers differ.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from cdi_hook.engines.base import WRAPPER, Change, Engine, Request, Site, change, ours, read
from cdi_hook.errors import EngineError, RuntimeNotFoundError, SettingsError
from cdi_hook.settings import values

CANDIDATES = ("runc", "crun")
_HEAD = "# Settings of cdi-hook, written by cdi-hook configure.\n"
_LINE = re.compile(r"^runtime:.*$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+\Z")


@dataclass
class Wiring:
    """``wrapper``: the path that the engine shall call. ``runtime``: the real one behind it. ``uses``: our files that it needs."""

    wrapper: str
    runtime: str
    changes: list[Change] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wire(site: Site, request: Request, engine: Engine) -> Wiring:
    """Decide about settings, link and real runtime of a handler. Raises EngineError or SettingsError; writes nothing."""
    named = os.path.join(site.at(values.DIRECTORY), f"{request.handler}.yaml")
    common = stated_runtime(site.settings)
    asked = _absolute(site, request.runtime) if request.runtime else ""
    own = asked and (asked != common if common else request.handler != Request.handler)
    if os.path.lexists(named) or own:
        return _own(site, request, engine, named, asked)
    runtime = asked or common or find_runtime(site, request, engine)
    wiring = Wiring(site.wrapper, runtime, uses=[site.settings])
    if not common:
        if site.uid and not _may_write(site.settings):
            wiring.notes.append(
                f"{site.settings} states no runtime and only root may write it: the wrapper takes the first of runc, crun on PATH"
            )
        else:
            data = read(site.settings)
            wiring.changes = change(site.settings, data, _with_runtime(data, runtime, site.settings), "settings")
    elif not asked:
        _compare(site, request, engine, wiring)
    return wiring


def _compare(site: Site, request: Request, engine: Engine, wiring: Wiring) -> None:
    own = find_runtime(site, request, engine)
    if os.path.realpath(own) != os.path.realpath(wiring.runtime):
        wiring.notes.append(
            f"{engine.name} itself runs {own}; the handler {request.handler} will run {wiring.runtime}, which {site.settings} states "
            f"(another one for this handler: --runtime {own})"
        )


def _own(site: Site, request: Request, engine: Engine, named: str, asked: str) -> Wiring:
    """A handler with a settings file of its own; a new one starts as a copy of the common one."""
    data = read(named)
    runtime = asked or stated_runtime(named) or stated_runtime(site.settings) or find_runtime(site, request, engine)
    link = os.path.join(os.path.dirname(site.wrapper), f"{WRAPPER}-{request.handler}")
    wiring = Wiring(link, runtime, uses=[named, link])
    if data is None or stated_runtime(named) != runtime:
        text = _with_runtime(read(site.settings) if data is None else data, runtime, named)
        wiring.changes = change(named, data, text, "settings")
        if data is None and os.path.exists(site.settings):
            wiring.notes.append(f"{named} starts as a copy of {site.settings}; from now on they are changed apart")
    target = os.path.basename(site.wrapper)
    if not os.path.lexists(link):
        wiring.changes.append(Change(link, None, os.fsencode(target), "link", link=True))
    elif not (os.path.islink(link) and os.path.realpath(link) == os.path.realpath(site.wrapper)):
        raise EngineError(f"is in the way: it is no link to {site.wrapper}", file=link, fix="remove it, or choose another handler")
    return wiring


def stated_runtime(file: str) -> str:
    """``runtime`` of a settings file; empty when the file is missing or states none. Raises SettingsError for a broken file."""
    if not os.path.lexists(file):
        return ""
    ours, fault = values.read(file, True)
    if fault is not None:
        raise fault
    return str(ours["runtime"])


def find_runtime(site: Site, request: Request, engine: Engine) -> str:
    """The runtime that the engine uses now, else the first of runc and crun on PATH. Raises RuntimeNotFoundError when there is none."""
    for name in (engine.own_runtime(site, request), *CANDIDATES):
        path = name if os.path.isabs(name) else site.program(name) if name else ""
        if path and os.access(path, os.X_OK) and not _is_wrapper(site, path):
            return path
    raise RuntimeNotFoundError("neither runc nor crun is on PATH", field="--runtime", fix="name the real runtime: --runtime /path/to/it")


def _absolute(site: Site, name: str) -> str:
    path = os.path.abspath(name) if "/" in name else site.program(name)
    if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
        raise RuntimeNotFoundError(f"{path or name} is not a program that can be run", field="--runtime")
    if _is_wrapper(site, path):
        raise RuntimeNotFoundError(f"{path} is the wrapper itself", field="--runtime", fix="name the real runtime, such as /usr/sbin/runc")
    return path


def _is_wrapper(site: Site, path: str) -> bool:
    return ours(path) or os.path.realpath(path) == os.path.realpath(site.wrapper)


def _may_write(file: str) -> bool:
    place = file
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    return os.access(place, os.W_OK)


def _with_runtime(data: bytes | None, runtime: str, file: str) -> bytes:
    """The settings with this runtime, all other lines as they were. Raises SettingsError when that is not possible."""
    text = _HEAD if data is None else data.decode("utf-8")
    line = f"runtime: {runtime if _PLAIN.match(runtime) else yaml.dump(runtime, default_style=chr(34)).strip()}"
    new = (
        _LINE.sub(lambda _: line, text, count=1)
        if _LINE.search(text)
        else f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{line}\n"
    )
    if _values(new, file) != {**_values(text, file), "runtime": runtime}:
        raise SettingsError("cannot be edited safely", file=file, field="runtime", fix=f"add the line yourself: {line}")
    return new.encode("utf-8")


def without_runtime(data: bytes) -> bytes:
    """The settings without their ``runtime`` line."""
    return re.sub(rb"(?m)^runtime:.*\n?", b"", data, count=1)


def _values(text: str, file: str) -> dict[str, Any]:
    try:
        ours = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingsError("is not YAML", file=file) from None
    return ours if isinstance(ours, dict) else {}
