"""The journal of what was changed, and how it is taken back. Row 4, cold.

``journal.json`` holds for each ``configure`` the files with their bytes before and the hash after (mode 0600: engine configurations may
hold secrets). It is written before the files are, so a run that is killed half-way can be undone too.

Undo restores a file byte for byte when its hash is still the one that we left; else it takes out only what is ours. Two handlers in one
file may be undone in any order: what the later one remembers is brought up to date.
"""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cdi_hook.engines import files, hooksd, wiring
from cdi_hook.engines.base import Change, Engine, Plan, Request, Site, hook_key
from cdi_hook.errors import EngineError, os_words
from cdi_hook.memory import replace

_NAME = "journal.json"
_VERSION = 1
Entry = dict[str, Any]


def _hash(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _pack(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _unpack(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def key(request: Request) -> str:
    """What an entry is filed under: the handler, or the hook's stage."""
    return hook_key(request.stage) if request.stage else request.handler


def load(site: Site) -> list[Entry]:
    """All entries, oldest first. Raises EngineError when the journal is damaged."""
    path = os.path.join(site.state, _NAME)
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot be read: {error}", file=path, fix="move it away; undo then takes out only what is ours") from None
    if not isinstance(content, dict) or content.get("version") != _VERSION or not isinstance(content.get("entries"), list):
        raise EngineError("is not a journal of this version of cdi-hook", file=path)
    entries: list[Entry] = content["entries"]
    return entries


def _save(site: Site, entries: list[Entry]) -> None:
    path = os.path.join(site.state, _NAME)
    if not entries:
        if os.path.lexists(path):
            os.unlink(path)
        return
    text = json.dumps({"version": _VERSION, "entries": entries}, indent=1) + "\n"
    try:
        replace(path, text.encode("utf-8"), mode=0o600)
    except OSError as error:
        raise EngineError(f"the journal cannot be kept: {os_words(error)}", file=path) from None


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    """One ``configure`` at a time, by a lock on the state directory itself; an empty one is removed at the end.

    Raises EngineError when the directory cannot be used.
    """
    try:
        fd = _open_directory(site.state)
    except OSError as error:
        raise EngineError(f"the journal cannot be kept: {os_words(error)}", file=site.state, fix="try as root") from None
    try:
        yield
    finally:
        with suppress(OSError):
            os.rmdir(site.state)
        os.close(fd)


def _open_directory(path: str) -> int:
    while True:
        os.makedirs(path, mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:  # else the one before us removed it while we waited
            return fd
        os.close(fd)


def apply(site: Site, engine: Engine, request: Request, plan: Plan) -> str:
    """Write a plan and remember it; how the engine checked the result. Raises EngineError, with everything as it was."""
    with _locked(site):
        files.preflight(plan.changes)
        entries = load(site)
        directories = files.missing_directories(plan.changes)
        entry = _entry(engine, request, plan, directories)
        _save(site, [*entries, entry])
        try:
            files.write_all(plan.changes)
            try:
                return engine.check(site, plan.config, "" if request.stage else request.handler)
            except EngineError:
                files.restore(plan.changes)
                files.remove_directories(directories)
                raise
        except EngineError:
            _save(site, entries)
            raise


def _entry(engine: Engine, request: Request, plan: Plan, directories: list[str]) -> Entry:
    changes = [
        {
            "path": change.path,
            "kind": change.kind,
            "link": change.link,
            "before": _pack(change.old),
            "hash_before": _hash(change.old),
            "hash_after": _hash(change.new),
            "mode": change.mode,
            "uid": change.uid,
            "gid": change.gid,
        }
        for change in plan.changes
    ]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    filed = {"engine": engine.name, "handler": key(request), "config": plan.config, "time": when}
    return {**filed, "old": plan.old, "uses": plan.uses, "directories": directories, "changes": changes}


class Undo:
    """The plan of an undo: ``changes`` to write, ``notes`` to tell, and the journal as it will be."""

    def __init__(self, site: Site, engine: Engine, request: Request) -> None:
        self.site = site
        self.engine = engine
        self.request = request
        self.notes: list[str] = []
        self.exact = True
        self._now: dict[str, bytes | None] = {}
        self._seen: dict[str, Change] = {}
        self._directories: list[str] = []
        self.entries = load(site)
        self._loaded = load(site)
        mine = [entry for entry in self.entries if self._is_mine(entry)]
        for config in {entry["config"] for entry in mine}:
            self._agree([entry for entry in mine if entry["config"] == config])
        for entry in reversed(mine):
            self._take_back(entry)
        if not mine:
            self._strip_unknown()
        self.changes = [
            dataclasses.replace(change, new=self._now[path]) for path, change in self._seen.items() if self._now[path] != change.old
        ]

    def _is_mine(self, entry: Entry) -> bool:
        config = self.request.config
        same = entry["engine"] == self.engine.name and entry["handler"] == key(self.request)
        return bool(same and (not config or os.path.abspath(config) == entry["config"]))

    def _agree(self, runs: list[Entry]) -> None:
        """What was there before the first run of a handler is what has to come back; a later handler must not bring this one back."""
        first, handler = runs[0], runs[0]["handler"]
        old = dict(first["old"])
        old["default"] = next((run["old"].get("default") for run in reversed(runs) if run["old"].get("default") != handler), None)
        for run in runs:
            run["old"] = {**run["old"], **old}
        for other in self.entries[self.entries.index(first) :]:
            if other in runs or (other["engine"], other["config"]) != (first["engine"], first["config"]):
                continue
            theirs = other["old"]
            if theirs.get("default") == handler:
                theirs["default"] = old["default"]
            theirs.update({name: value for name, value in old.items() if name != "default" and (name in theirs or name == "import")})

    def _current(self, change: Change) -> bytes | None:
        if change.path not in self._seen:
            data = files.now(change)
            mode, uid, gid = change.mode, change.uid, change.gid
            if data is not None and not change.link:  # whoever tightened the mode since meant it
                found = os.stat(change.path)
                mode, uid, gid = found.st_mode & 0o7777, found.st_uid, found.st_gid
            self._seen[change.path] = Change(change.path, data, None, change.kind, mode, uid, gid, change.link)
            self._now[change.path] = data
        return self._now[change.path]

    def _take_back(self, entry: Entry) -> None:
        place = self.entries.index(entry)
        self.entries.remove(entry)
        self._directories += entry["directories"]
        for record in reversed(entry["changes"]):
            heirs = [other for other in self.entries if record["path"] in other["uses"]]
            if heirs:  # another handler needs our settings file or link
                heirs[-1]["changes"].insert(0, record)
                continue
            self._undo_record(record, entry, self.entries[place:])

    def _undo_record(self, record: Entry, entry: Entry, later: list[Entry]) -> None:
        before = _unpack(record["before"])
        path = record["path"]
        data = self._current(Change(path, None, None, record["kind"], record["mode"], record["uid"], record["gid"], record["link"]))
        if _hash(data) == record["hash_after"]:
            self._now[path] = before
            return
        if _hash(data) == record["hash_before"]:
            return
        self.exact = False
        if data is None:
            self.notes.append(f"{path}: is gone already")
            return
        self._now[path] = self._stripped(path, data, record, entry)
        chain = [other for item in later for other in item["changes"] if other["path"] == path]
        if chain and _hash(_unpack(chain[0]["before"])) == record["hash_after"] and chain[-1]["hash_after"] == _hash(data):
            self._rebase(chain, before, path, entry)
        elif record["kind"] in ("engine", "hook"):
            self.notes.append(f"{path}: was changed by others since; only our part is taken out")

    def _stripped(self, path: str, data: bytes, record: Entry, entry: Entry) -> bytes | None:
        if record["kind"] == "settings":
            self.notes.append(f"{path}: was changed since and stays, without the runtime that we wrote")
            return wiring.without_runtime(data)
        if record["kind"] in ("link", "backup"):
            self.notes.append(f"{path}: was changed since and stays")
            return data
        return self.engine.strip(self.site, path, data, entry["handler"], entry["old"])

    def _rebase(self, chain: list[Entry], before: bytes | None, path: str, entry: Entry) -> None:
        """The later records of this file shall lead to what was there before the one that is taken back."""
        for number, record in enumerate(chain):
            record["before"] = _pack(before)
            record["hash_before"] = _hash(before)
            if number + 1 < len(chain):
                after = _unpack(chain[number + 1]["before"])
                before = None if after is None else self.engine.strip(self.site, path, after, entry["handler"], entry["old"])
            else:
                before = self._now[path]
            record["hash_after"] = _hash(before)

    def _strip_unknown(self) -> None:
        """No entry (written by hand, or the journal is lost): take out the handler or the hook wherever the engine's files have it."""
        if self.request.stage:
            for file, _, stages in hooksd.found(self.engine.hooks_dirs(self.site, self.request)):
                if self.request.stage in stages:
                    self._strip_file(file, "hook")
            if self._seen and self.request.stage == "precreate":  # its directory is named in the configuration
                self._strip_file(self.engine.config(self.site, self.request), "engine")
            return
        for handler in self.engine.status(self.site, self.request).handlers:
            if handler.name == self.request.handler:
                self._strip_file(handler.file, "engine")

    def _strip_file(self, path: str, kind: str) -> None:
        self.exact = False
        data = self._current(Change(path, None, None, kind))
        if data is not None:
            self.notes.append(f"{path}: is not in the journal; only our part is taken out")
            self._now[path] = self.engine.strip(self.site, path, data, key(self.request), {})

    def _leave(self, directories: list[str]) -> None:
        """Directories that we made and others of ours still use: the last one of them removes them."""
        for directory in directories:
            heirs = [item for item in self.entries if any(record["path"].startswith(f"{directory}/") for record in item["changes"])]
            if heirs and directory not in heirs[-1]["directories"]:
                heirs[-1]["directories"].insert(0, directory)

    def write(self) -> str:
        """Do it; how the engine checked the result. Raises EngineError, with everything as it was."""
        with _locked(self.site):
            if load(self.site) != self._loaded:
                raise EngineError("another cdi-hook has changed the journal meanwhile", file=self.site.state, fix="try again")
            files.write_all(self.changes)
            checked = ""
            if not self.exact:
                try:
                    checked = self.engine.check(self.site, self.engine.config(self.site, self.request), "")
                except EngineError:
                    files.restore(self.changes)
                    raise
            self._leave(files.remove_directories(self._directories))
            _save(self.site, self.entries)
        return checked
