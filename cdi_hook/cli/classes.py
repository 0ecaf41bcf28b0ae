"""``cdi-hook classes``: the classes of all specs that load. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cli import lookup, output

HELP = "list the classes of device, such as gpu"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``classes``."""
    lookup.add_spec_dirs(parser)
    output.add_format(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; 0 even if some files do not load, which standard error says."""
    output.names(lookup.registry(args).classes(), args.format)
    return 0
