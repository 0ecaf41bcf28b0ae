"""``cdi-hook settings``: which settings are in force, and where each comes from. Layer 5, cold."""

from __future__ import annotations

import argparse
import os
from typing import Any

from cdi_hook import jsonio, settings, settingsfile
from cdi_hook.cli import output

HELP = "show the settings in force and where they come from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``settings``."""
    output.add_format(parser)
    parser.add_argument("--handler", default="", metavar="NAME", help="those of the wrapper when it is called as cdi-runtime-NAME")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--example", action="store_true", help="print a file with every setting and what it means")
    what.add_argument("--page", action="store_true", help="print the page of the documentation")


def run(args: argparse.Namespace) -> int:
    """Print them. Raises CdiError when the file has a fault."""
    if args.example or args.page:
        print(settingsfile.example() if args.example else settingsfile.page(), end="")
        return 0
    file, named = settings.locate(f"{settings.LINK_PREFIX}{args.handler}" if args.handler else "cdi-hook", os.environb)
    values, fault = settings.read(file, named)
    if fault is not None:
        raise fault
    if args.format != "text":
        output.show({"file": file, "exists": os.path.exists(file), "settings": values}, args.format)
        return 0
    print(f"{file} ({'in force' if os.path.exists(file) else 'not there: all defaults'})")
    rows = [(row.key, _text(values[row.key]), "" if values[row.key] == settings.DEFAULTS[row.key] else "set") for row in settingsfile.ROWS]
    output.table(rows, ("SETTING", "VALUE", ""))
    return 0


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return value if isinstance(value, str) and value else jsonio.dumps(value)
