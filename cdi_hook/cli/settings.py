"""``cdi-hook settings``: which settings are in force, and where each comes from. Row 7, cold."""

from __future__ import annotations

import argparse
import os
from typing import Any

from cdi_hook.cli import output
from cdi_hook.oci import jsonio
from cdi_hook.settings import file as settings_file
from cdi_hook.settings import values

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
        print(settings_file.example(values.DEFAULTS) if args.example else settings_file.page(values.DEFAULTS), end="")
        return 0
    file, named = values.locate(f"{values.LINK_PREFIX}{args.handler}" if args.handler else "cdi-hook", os.environb)
    ours, fault = values.read(file, named)
    if fault is not None:
        raise fault
    if args.format != "text":
        output.show({"file": file, "exists": os.path.exists(file), "settings": ours}, args.format)
        return 0
    print(f"{file} ({'in force' if os.path.exists(file) else 'not there: all defaults'})")
    rows = [(row.key, _text(ours[row.key]), "" if ours[row.key] == values.DEFAULTS[row.key] else "set") for row in settings_file.ROWS]
    output.table(rows, ("SETTING", "VALUE", ""))
    return 0


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return value if isinstance(value, str) and value else jsonio.dumps(value)
