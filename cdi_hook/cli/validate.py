"""``cdi-hook validate``: whether spec files are right, and everything that is wrong with them. Layer 5, cold.

Files that are named are judged each by itself. Without names it is every file in the spec directories, and then conflicts between
them count, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from cdi_hook import specfile
from cdi_hook.cli import lookup, output
from cdi_hook.errors import CdiError, SpecError, one_line
from cdi_hook.registry import Registry

HELP = "check spec files, and say everything that is wrong with them"

Verdict = tuple[str, list[CdiError], list[CdiError]]
"""A file, its faults, and what is accepted but not standard."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``validate``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser, ("text", "json"))
    parser.add_argument("--strict", action="store_true", help="refuse what is accepted but not standard, too")
    parser.add_argument("file", nargs="*", metavar="FILE", help="spec files, - for standard input (default: all in the spec directories)")


def run(args: argparse.Namespace) -> int:
    """Print the verdicts; 0 when all files are valid, else 1."""
    if args.file and args.spec_dir:
        args.usage("either files or --spec-dir")
    verdicts = [_of_file(path) for path in args.file] or _of_directories(args)
    if args.strict:
        verdicts = [(path, faults + notes, []) for path, faults, notes in verdicts]
    if args.format == "json":
        output.show([_described(*verdict) for verdict in verdicts], args.format)
    else:
        for path, faults, notes in verdicts:
            for fault in faults:
                output.complain(str(fault))
            for note in notes:
                output.complain(f"not standard: {note}")
            if not faults:
                print(one_line(f"{path}: valid"))
    return 1 if any(faults for _, faults, _ in verdicts) else 0


def _of_file(path: str) -> Verdict:
    if path == lookup.STDIN:
        path = lookup.config_name(path)
        loaded = specfile.parse(sys.stdin.buffer.read(), file=path)
    elif os.path.isdir(path):
        return path, [SpecError("is a directory", file=path, fix=f"run cdi-hook validate --spec-dir {path}")], []
    else:
        loaded = specfile.read(path)
    return path, list(loaded.faults), list(loaded.notes)


def _of_directories(args: argparse.Namespace) -> list[Verdict]:
    registry = Registry.discover(args.spec_dir or lookup.our_settings(args)["specDirs"])
    notes = {spec.path: spec.notes for spec in registry.specs}
    found = sorted({*notes, *registry.errors}, key=lambda path: (_rank(registry, path), path))
    return [(path, list(registry.errors.get(path, ())), list(notes.get(path, ()))) for path in found]


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
