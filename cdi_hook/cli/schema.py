"""``cdi-hook schema``: the JSON schema of CDI specs, or the reference page. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cdi import reference
from cdi_hook.cli import output

HELP = "print the JSON schema of CDI specs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``schema``."""
    parser.add_argument("--reference", action="store_true", help="print the page that describes every field instead")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(reference.reference().rstrip("\n") if args.reference else output.pretty(reference.json_schema()))
    return 0
