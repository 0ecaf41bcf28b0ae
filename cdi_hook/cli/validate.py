"""``cdi-hook validate``: whether spec files are right, and everything that is wrong with them. Row 7, cold.

Files that are named are judged each by itself. Without names it is every file in the spec directories, and then conflicts between
them count, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from cdi_hook.cdi import consumers, lint, specfile
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output
from cdi_hook.errors import CdiError, SpecError, one_line

HELP = "check spec files, and say everything that is wrong with them"

Verdict = tuple[str, list[CdiError], list[CdiError]]
"""A file, its faults, and what is valid but to be warned of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``validate``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser, ("text", "json"))
    parser.add_argument("--strict", action="store_true", help="refuse what is only warned of, too")
    parser.add_argument(
        "--for",
        dest="reader",
        default="",
        metavar="READER",
        help="refuse what this engine's own CDI would: containerd-1.7, crio, podman-4.9 …",
    )
    parser.add_argument("file", nargs="*", metavar="FILE", help="spec files, - for standard input (default: all in the spec directories)")


def run(args: argparse.Namespace) -> int:
    """Print the verdicts; 0 when all files are valid, else 1."""
    if args.file and args.spec_dir:
        args.usage("either files or --spec-dir")
    try:
        reader = consumers.consumer(args.reader) if args.reader else None
    except CdiError as error:
        args.usage(str(error))
    verdicts = [_of_file(path, reader) for path in args.file] or _of_directories(args, reader)
    if args.strict:
        verdicts = [(path, faults + notes, []) for path, faults, notes in verdicts]
    if args.format == "json":
        output.show([_described(*verdict) for verdict in verdicts], args.format)
    else:
        for path, faults, notes in verdicts:
            for fault in faults:
                output.complain(str(fault))
            for note in notes:
                output.complain(f"warning: {note}")
            if not faults:
                print(one_line(f"{path}: valid"))
    return 1 if any(faults for _, faults, _ in verdicts) else 0


def _of_file(path: str, reader: consumers.Consumer | None) -> Verdict:
    if path == lookup.STDIN:
        data, path = sys.stdin.buffer.read(), lookup.config_name(path)
        return _judged(path, specfile.parse(data, file=path), data, reader)
    if os.path.isdir(path):
        return path, [SpecError("is a directory", file=path, fix=f"run cdi-hook validate --spec-dir {path}")], []
    return _judged(path, specfile.read(path), _bytes(path), reader)


def _judged(path: str, loaded: specfile.Loaded, data: bytes, reader: consumers.Consumer | None) -> Verdict:
    faults: list[CdiError] = list(loaded.faults)
    if reader is not None and loaded.spec is not None:
        for field, reason, fix in consumers.refusals(loaded.spec, reader):
            faults.append(SpecError(reason, file=path, line=loaded.line(field), field=field, fix=fix))
    return path, faults, [*loaded.notes, *lint.warnings(loaded, data, file=path)]


def _of_directories(args: argparse.Namespace, reader: consumers.Consumer | None) -> list[Verdict]:
    registry = Registry.discover(lookup.spec_dirs(args))
    between: dict[str, list[CdiError]] = {}
    for warning in lint.between(registry.specs):
        between.setdefault(warning.file, []).append(warning)
    verdicts = []
    for path in sorted({*(spec.path for spec in registry.specs), *registry.errors}, key=lambda path: (_rank(registry, path), path)):
        _, faults, notes = _judged(path, specfile.read(path), _bytes(path), reader) if path not in registry.dirs else (path, [], [])
        told = {str(fault) for fault in faults}
        faults += [fault for fault in registry.errors.get(path, ()) if str(fault) not in told]
        verdicts.append((path, faults, notes + between.get(path, [])))
    return verdicts


def _bytes(path: str) -> bytes:
    """The file once more, for what is not in its values; empty when it cannot be read, which has been said."""
    try:
        if not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(specfile.LARGEST)
    except (OSError, ValueError):
        return b""


def _rank(registry: Registry, path: str) -> int:
    """The number of the directory that it is in; a directory that cannot be read stands for itself."""
    directory = path if path in registry.dirs else os.path.dirname(path)
    return registry.dirs.index(directory)


def _described(path: str, faults: list[CdiError], notes: list[CdiError]) -> dict[str, Any]:
    return {
        "file": path,
        "valid": not faults,
        "errors": [_error(fault) for fault in faults],
        "notes": [_error(note) for note in notes],
    }


def _error(fault: CdiError) -> dict[str, Any]:
    """``message`` is the whole text; ``line`` is 0 when unknown."""
    return {"message": str(fault), "line": fault.line, "field": fault.field, "reason": fault.reason, "fix": fault.fix}
