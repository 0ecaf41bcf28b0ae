"""``cdi-hook devices``: which devices there are, and which are unusable and why. Row 7, cold."""

from __future__ import annotations

import argparse
from typing import Any

from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output

HELP = "list the devices that specs define, unusable ones with the reason"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``devices``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show what each device does to a container, too")
    parser.add_argument("pattern", nargs="*", metavar="DEVICE", help="only these: names or globs such as 'acme.com/gpu=*'")


def run(args: argparse.Namespace) -> int:
    """Print them; 0 even if some files do not load, which standard error says."""
    found = describe(lookup.registry(args), args.pattern, verbose=args.verbose)
    if args.format != "text":
        output.show(found, args.format)
    elif args.verbose:
        for device in found:
            print(f"{device['name']}  {_place(device)}")
            if device["usable"]:
                output.indented(device["containerEdits"])
    else:
        output.table([(device["name"], _place(device)) for device in found], ("DEVICE", "DEFINED IN"))
    return 0


def describe(registry: Registry, patterns: list[str], *, verbose: bool) -> list[dict[str, Any]]:
    """One dict a device, sorted by name: ``name``, ``usable``, then ``file`` and ``line``, or ``files`` and ``reason``.

    ``verbose``: with ``containerEdits``, those of the spec included, and the device's ``annotations``.
    """
    devices: list[dict[str, Any]] = []
    for name in sorted([*registry.devices(), *registry.conflicts]):
        if patterns and not lookup.matches(name, patterns):
            continue
        spec = registry.find(name)
        if spec is None:
            files = registry.conflicts[name]
            devices.append({"name": name, "usable": False, "files": files, "reason": f"{' and '.join(files)} define it alike"})
            continue
        short = name.partition("=")[2]
        device: dict[str, Any] = {"name": name, "usable": True, "file": spec.path, "line": spec.line(short)}
        if verbose:
            if spec.devices[short].get("annotations"):
                device["annotations"] = spec.devices[short]["annotations"]
            device["containerEdits"] = registry.resolve_device(name)
        devices.append(device)
    return devices


def _place(device: dict[str, Any]) -> str:
    return f"{device['file']}:{device['line']}" if device["usable"] else f"unusable: {device['reason']}"
