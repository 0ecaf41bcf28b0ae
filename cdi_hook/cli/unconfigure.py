"""``cdi-hook unconfigure ENGINE``: another name for ``configure ENGINE --undo``. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cli import configure

HELP = "take cdi-runtime out of a container engine (configure --undo)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``unconfigure``."""
    configure.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Undo. Raises CdiError, with every file untouched."""
    args.undo, args.check = True, False
    return configure.run(args)
