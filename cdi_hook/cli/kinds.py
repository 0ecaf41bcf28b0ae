"""``cdi-hook kinds``: the kinds (vendor.com/class) of all specs that load. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cli import lookup, output

HELP = "list the kinds of device, such as acme.com/gpu"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kinds``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; 0 even if some files do not load, which standard error says."""
    output.names(lookup.registry(args).kinds(), args.format)
    return 0
