"""``cdi-hook explain``: what the wrapper would do to a container, and why. Row 7, cold."""

from __future__ import annotations

import argparse
import collections
import os

from cdi_hook.cdi.names import parse_qualified_name
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output
from cdi_hook.diagnostics import explain
from cdi_hook.errors import NameSyntaxError, RuntimeNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdi_hook.diagnostics.reports import Access, Asked, Edit, Explanation

HELP = "show what cdi-runtime would do to a container, and why"

_MARKS = {"applied": ("+", "green"), "held": ("=", "dim"), "beaten": ("-", "dim"), "ignored": ("-", "dim"), "impossible": ("!", "red")}
_REPLACES = ("~", "yellow")
_WORDS = {"held": "the config has it already", "beaten": "a later edit of the same thing wins"}
_VERDICTS = {
    "edited": ("The container starts", "green"),
    "unchanged": ("The config stays as it is", "bold"),
    "refused": ("The container does not start", "red"),
}
_INDENT = " " * 11
_FEW = 3
"""Arguments of a hook, and repeated requests, that are shown; more are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``explain``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser, ("text", "json"))
    parser.add_argument("--runtime", default="", metavar="PATH", help="the real runtime (default: the one that cdi-runtime finds)")
    parser.add_argument("--no-diff", action="store_true", help="leave out the diff of the config")
    parser.add_argument("--full", action="store_true", help="fold nothing: every argument, note and broken file")
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="config.json, a bundle directory, or - for standard input; a DEVICE here stands for an empty config",
    )
    parser.add_argument(
        "device", nargs="*", default=[], metavar="DEVICE", help="names or globs to ask for instead of what the config asks for"
    )


def run(args: argparse.Namespace) -> int:
    """Print the explanation. Exit status 0: the container starts; 1: it would be refused."""
    ours = lookup.our_settings(args)
    patterns = args.device
    if is_device(args.config):
        patterns, file, config = [args.config, *args.device], "", {}
    else:
        file = lookup.config_name(args.config)
        config = lookup.parse_config(lookup.read_config(args.config), args.config)
    names = lookup.checked(Registry.discover(ours["specDirs"]), patterns) if patterns else None
    try:
        runtime, family = lookup.runtime(ours, args.runtime)
    except RuntimeNotFoundError:
        runtime = family = ""
    report = explain.explain(
        config, ours, names=names, file=file, runtime=runtime, family=family, pretty=None if args.no_diff else output.pretty
    )
    if args.format == "json":
        output.show(report, "json")
    else:
        for line in page(report, full=args.full):
            print(line)
    return 1 if report["verdict"] == "refused" else 0


def is_device(text: str) -> bool:
    """Whether an argument names devices rather than a config."""
    if os.path.lexists(text) or text == lookup.STDIN:
        return False
    try:
        parse_qualified_name(text)
    except NameSyntaxError:
        return "/" in text and "=" in text and lookup.is_glob(text)
    return True


def page(report: Explanation, *, full: bool = False) -> Iterator[str]:
    """The report as lines of text, the verdict first and once more before the diff. ``full``: fold nothing."""
    yield from _verdict(report)
    yield ""
    runtime = report["runtime"]
    yield from _row("config", report["config"] or "empty")
    yield from _row("runtime", f"{runtime['path']} ({runtime['version'] or 'unknown version'})" if runtime["path"] else "none is found")
    for at, directory in enumerate(report["directories"]):
        files = directory["files"]
        there = f"{files} spec{'' if files == 1 else 's'}" if directory["exists"] else "not there"
        yield from _row("" if at else "specs", f"{directory['path']} ({there})")
    if full or len(report["broken"]) < 2:
        for text in report["broken"]:
            yield from _row("broken", text, "red")
    else:
        yield from _row("broken", f"{len(report['broken'])} faults in other files; cdi-hook validate tells them, and so does --full", "red")
    if report["requests"]:
        yield from _heading("Requested")
        again = [request for request in report["requests"] if request["repeated"]]
        folded = len(again) > _FEW and not full
        for request in report["requests"]:
            if not (folded and request["repeated"]):
                yield from _request(request)
        if folded:
            yield from _line("-", f"{len(again)} more requests for these: each counts once")
    if report["edits"]:
        yield from _heading("Edits, in the order in which they are made")
        yield from _edits(report["edits"], full)
    for entry in report["dropped"]:
        doubt = "would drop it in silence" if entry["supported"] is False else "may drop it in silence: nobody can tell"
        yield from _line("!", f"{entry['what']}: this runtime {doubt}; it needs {entry['needs']}", "red")
    if report["access"]:
        yield from _access(report["access"])
    yield ""
    yield from _verdict(report)
    if report["diff"]:
        yield ""
    for line in report["diff"].splitlines():
        style = "bold" if line.startswith(("---", "+++")) else {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        yield output.paint(line, style)


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield output.paint(text, "bold")


def _row(title: str, text: str, style: str = "") -> Iterator[str]:
    for line in output.wrapped(text, _INDENT, title.ljust(len(_INDENT))):
        yield output.paint(line, style)


def _line(mark: str, text: str, style: str = "") -> Iterator[str]:
    for line in output.wrapped(text, "    ", f"  {mark} "):
        yield output.paint(line, style)


def _note(text: str, style: str = "") -> Iterator[str]:
    for line in output.wrapped(text, _INDENT, _INDENT):
        yield output.paint(line, style)


def _request(request: Asked) -> Iterator[str]:
    again = ", once more: it counts once" if request["repeated"] else ""
    yield from _line("-" if request["repeated"] else "!" if request["reason"] else "+", f"{request['name']}  by {request['from']}{again}")
    if request["repeated"]:
        return
    if request["reason"]:
        yield from _note(request["reason"], "red")
    for device in request["devices"]:
        name = f"{device['name']}: " if device["name"] != request["name"] else ""
        beaten = [f"{other['file']}:{other['line']}" for other in device["beats"]]
        wins = f", which wins over {' and '.join(beaten)}" if beaten else ""
        yield from _note(f"{name}{device['file']}:{device['line']}{wins}")


def _edits(entries: list[Edit], full: bool) -> Iterator[str]:
    notes = collections.Counter(entry["hardened"] for entry in entries if entry["hardened"])
    often = {note for note, count in notes.items() if count > 1 and not full}
    files = {entry["file"] for entry in entries}
    short = len({os.path.basename(file) for file in files}) == len(files)
    at = 0
    while at < len(entries):
        entry = entries[at]
        at += 1
        text = entry["edit"] if full else _folded(entry)
        rule = entries[at] if at < len(entries) else None
        if rule is not None and (entry["kind"], rule["kind"]) == ("node", "rule") and _state(rule) == _state(entry):
            # A node and the cgroup rule that comes with it are one thing to whoever reads this.
            text += f", cgroup {rule['edit'].rpartition(' ')[2]}"
            at += 1
        mark, style = _REPLACES if entry["replaces"] is not None and entry["state"] == "applied" else _MARKS[entry["state"]]
        for line in output.wrapped(text, _INDENT, f"  {mark} {entry['kind']:<7}"):
            yield output.paint(line, style)
        file = os.path.basename(entry["file"]) if short else entry["file"]
        yield from _note(f"{file}:{entry['line']} {entry['field']}", "dim")
        for note, of_note in _notes(entry):
            if note not in often:
                yield from _note(note, of_note)
    for note in sorted(often):
        kinds = {entry["kind"] for entry in entries if entry["hardened"] == note}
        yield from _line("*", f"{notes[note]} {kinds.pop() if len(kinds) == 1 else 'edit'}s: each {note}", "yellow")


def _folded(entry: Edit) -> str:
    """An edit in a few words, of a hook no more than its first arguments."""
    if entry["kind"] != "hook" or not isinstance(entry["value"], list):
        return entry["edit"]
    stage, hook = entry["value"]
    args = hook.get("args", ())[1:]
    if len(args) <= _FEW:
        return entry["edit"]
    return " ".join([stage, hook["path"], *args[:_FEW], f"… and {len(args) - _FEW} more arguments"])


def _state(entry: Edit) -> tuple[str, str, str, str]:
    return entry["file"], entry["device"], entry["field"], entry["state"]


def _notes(entry: Edit) -> Iterator[tuple[str, str]]:
    if entry["state"] in _WORDS:
        yield _WORDS[entry["state"]], ""
    if entry["replaces"] is not None and entry["state"] == "applied":
        yield f"replaces {replaced(entry['kind'], entry['replaces'])}", "yellow"
    if entry["hardened"]:
        yield entry["hardened"], "yellow"
    for text in entry["stale"] if entry["kind"] != "rule" else ():
        yield f"out of date: {text}", "red"


def replaced(kind: str, value: object) -> str:
    """What stood there before, in a few words."""
    if not isinstance(value, dict):
        return str(value)
    if kind == "mount":
        return f"the mount of {value.get('source', 'nothing')} there"
    if kind == "node":
        return f"the node there ({value.get('type', '?')} {value.get('major', '?')}:{value.get('minor', '?')})"
    return output.compact(value)


def _access(entries: list[Access]) -> Iterator[str]:
    groups = ", ".join(str(group) for group in entries[0]["groups"])
    yield from _heading(f"Can the container's user {entries[0]['user']}{f' (groups {groups})' if groups else ''} open them?")
    for entry in entries:
        if not entry["can"]:
            yield from _line("?", f"{entry['path']}: {entry['why']}", "yellow")
            continue
        whole = entry["can"] == "read and write"
        text = f"{entry['path']} {entry['mode']} {entry['owner']}: {entry['can']} ({entry['why']})"
        yield from _line("+" if whole else "!", f"{text}; {entry['fix']}" if entry["fix"] else text, "" if whole else "red")


def _verdict(report: Explanation) -> Iterator[str]:
    words, style = _VERDICTS[report["verdict"]]
    # A rule comes with its node.
    edits = sum(entry["state"] == "applied" and entry["kind"] != "rule" for entry in report["edits"])
    tail = f", with {edits} edit{'' if edits == 1 else 's'}." if report["verdict"] == "edited" else ":" if report["reasons"] else "."
    yield output.paint(f"{words}{tail}", style)
    for text in report["reasons"]:
        yield from _line(" ", text)
    for text in report["warnings"]:
        yield from _line("!", f"warning: {text}", "yellow")
