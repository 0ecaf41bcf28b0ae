"""``cdi-hook index``: the index that spares the wrapper reading the specs. Row 7, cold."""

from __future__ import annotations

import argparse
import time

from cdi_hook import memory
from cdi_hook.cdi import index
from cdi_hook.cdi.indexwriter import refresh
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output

HELP = "tell whether the index of the specs is fresh (--rebuild: make it so)"

_PATIENCE = 3.0
"""Seconds: a spec that was just written is trusted only once the file system's clock has moved on, two seconds at worst."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``index``."""
    lookup.add_spec_dirs(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--rebuild", action="store_true", help="write it anew, even if it is fresh")
    what.add_argument("--check", action="store_true", help="compare every device with its spec; exit 1: stale or none, 3: cannot tell")


def run(args: argparse.Namespace) -> int:
    """Tell, check or rebuild. Exit status 0: there is a fresh index now; 1: there is none; 3: the directories cannot be read."""
    dirs = lookup.spec_dirs(args)
    if index.signature(dirs) is None:
        output.complain(f"{', '.join(dirs)}: cannot be read, so there can be no index; cdi-hook specs says why")
        return 3
    if args.rebuild:
        return _rebuild(dirs)
    if args.check:
        return _check(dirs)
    fresh = index.parts(dirs, []) is not None
    print(f"{'fresh' if fresh else 'none, or out of date: the next request reads the specs and writes it'} ({', '.join(dirs)})")
    return 0 if fresh else 1


def _rebuild(dirs: list[str]) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        registry, written = refresh(dirs, anew=True)
        if written:
            print(f"{len(registry.devices())} devices of {len(registry.specs)} files are indexed")
            return 0
        if time.monotonic() > deadline:
            reason = f"the index cannot be written to {memory.home_directory()}, or the specs change all the time"
            output.complain(f"{reason}; requests read the specs instead")
            return 1
        time.sleep(0.1)


def _check(dirs: list[str]) -> int:
    if index.parts(dirs, []) is None:
        output.complain("there is no index, or it is out of date; cdi-hook index --rebuild")
        return 1
    registry = Registry.discover(dirs)
    devices = registry.devices()
    wrong = [name for name in devices if index.parts(dirs, [name]) != registry.parts([name])]
    for name in wrong:
        output.complain(f"{name} is not in the index as in {registry.parts([name])[-1][0][0]}; cdi-hook index --rebuild")
    if not wrong:
        print(f"fresh: {len(devices)} devices as their specs have them")
    return 1 if wrong else 0
