"""``cdi-hook specs``: which spec files there are, in the order of their precedence. Row 7, cold."""

from __future__ import annotations

import argparse
from typing import Any

from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output

HELP = "list the spec files that load"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``specs``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show their content as it is understood, too")
    parser.add_argument("vendor", nargs="*", metavar="VENDOR", help="only those of these vendors, such as acme.com")


def run(args: argparse.Namespace) -> int:
    """Print them; 0 even if some files do not load, which standard error says."""
    found = describe(lookup.registry(args), args.vendor, verbose=args.verbose)
    if args.format != "text":
        output.show(found, args.format)
    elif args.verbose:
        for spec in found:
            print(spec["file"])
            output.indented(spec["spec"])
    else:
        rows = [(spec["file"], spec["kind"], spec["cdiVersion"], _count(len(spec["devices"]))) for spec in found]
        output.table(rows, ("FILE", "KIND", "VERSION", "DEVICES"))
    return 0


def describe(registry: Registry, vendors: list[str], *, verbose: bool) -> list[dict[str, Any]]:
    """One dict a file, lowest precedence first: ``file``, ``kind``, ``cdiVersion``, ``priority`` (number of the directory; the highest
    wins), ``devices`` (qualified names), and ``spec`` when ``verbose``."""
    specs: list[dict[str, Any]] = []
    for spec in registry.specs:
        if vendors and spec.vendor not in vendors:
            continue
        described: dict[str, Any] = {
            "file": spec.path,
            "kind": spec.kind,
            "cdiVersion": spec.spec["cdiVersion"],
            "priority": spec.priority,
            "devices": [f"{spec.kind}={name}" for name in spec.devices],
        }
        if verbose:
            described["spec"] = spec.spec
        specs.append(described)
    return specs


def _count(number: int) -> str:
    return f"{number} device{'s' if number != 1 else ''}"
