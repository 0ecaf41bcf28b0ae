"""Makes the launcher ``cdi-runtime`` from its template and the option rows of ``cdi_hook.oci.arguments``, and the script ``cdi-hook``.

Used by ``install.sh`` and by packages: ``launcher.py --python /usr/bin/python3 --hot /usr/local/lib/cdi-hook/0.1.0-1/hot.pyc``.
The launcher knows fewer spellings than ``arguments``: names in full with two dashes, and the letter of ``--bundle``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from cdi_hook.oci import arguments  # noqa: E402  # from the tree that this file lies in
from cdi_hook.settings.values import DEFAULTS  # noqa: E402

SHEBANG = 120
"""The kernel reads 127 bytes of a ``#!`` line (before Linux 5.1)."""
LETTERS = {"runc": "r", "crun": "c", "youki": "y"}
PROGRAMS = {"runc": "runc", "crun | krun": "crun", "youki": "youki"}
"""The names of programs that ``arguments.family`` knows without following a link, and their families."""


def render(python: str, hot: str, *, etc: str = "/etc/cdi-hook", grep: str = "/usr/bin/grep") -> str:
    """The text of a launcher that hands over to ``hot`` under ``python``; all paths absolute. ``grep``: words that start grep."""
    takes, flags = options("")
    create_takes, create_flags = options("create")
    bundle = create_takes.pop("bundle")
    create_takes.pop("config", None)  # replaces config.json: Python's
    parts = {
        "PYTHON": shlex.quote(python),
        "HOT": shlex.quote(hot),
        "ETC": shlex.quote(etc),
        "GREP_PROGRAM": shlex.quote(shlex.split(grep)[0]),
        "GREP": shlex.join(shlex.split(grep)),
        "PATTERNS": " ".join(f"-e {shlex.quote(pattern)}" for pattern in patterns()),
        "FAMILIES": "\n".join(f"{names}) _cdi_family={LETTERS[family]} ;;" for names, family in PROGRAMS.items()),
        "GLOBAL_TAKES": words(takes, ""),
        "GLOBAL_WORDS": f"{words(takes, '=*')} | {words(flags, '')}",
        "BUNDLE_TAKES": f"+{bundle}--bundle | +{bundle}-b",
        "BUNDLE_WORDS": f"+{bundle}--bundle=*",
        "CREATE_TAKES": words(create_takes, "", "+"),
        "CREATE_WORDS": f"{words(create_takes, '=*', '+')} | {words(create_flags, '', '+')}",
    }
    text = (HERE / "cdi-runtime.in").read_text(encoding="ascii")
    for name, value in parts.items():
        text = text.replace(f"@{name}@", value)
    return text


def tool(python: str, lib: str) -> str:
    """The text of ``cdi-hook``: a Python script where a ``#!`` line can carry the interpreter's path, else a script for sh."""
    body = f"import sys\nsys.path.append({lib!r})\nfrom cdi_hook.__main__ import main\nsys.exit(main())\n"
    if python.isascii() and not set(python) & set(" \t\n") and len(python) < SHEBANG:
        return f"#!{python} -IS\n{body}"
    return f'#!/bin/sh\nexec {shlex.quote(python)} -I -S -c {shlex.quote(body)} "$@"\n'


def options(where: str) -> tuple[dict[str, str], dict[str, str]]:
    """Long names that take a value, and flags, each with a pattern of the families that have it.

    ``where``: "" for the global ones, or "create", whose options ``run`` has as well.
    """
    takes: dict[str, str] = {}
    flags: dict[str, str] = {}
    for family, rows in arguments.FAMILIES.items():
        for at, found in enumerate((takes, flags)):
            names = rows[where][at].split()
            assert where != "create" or set(names) <= set(rows["run"][at].split()), f"{family}: create knows an option that run does not"
            for name in names:
                if len(name) > 1 and name not in arguments.HELP:
                    found[name] = found.get(name, "") + LETTERS[family]
    return {name: klass(letters) for name, letters in takes.items()}, {name: klass(letters) for name, letters in flags.items()}


def klass(letters: str) -> str:
    """The shell pattern for a set of families."""
    if len(letters) == len(LETTERS):
        return "?"
    return letters if len(letters) == 1 else f"[{letters}]"


def words(names: dict[str, str], tail: str, head: str = "") -> str:
    """Alternatives of a shell ``case``."""
    return " | ".join(f"{head}{families}--{name}{tail}" for name, families in names.items())


def patterns() -> list[str]:
    """What ``grep`` looks for: the part that all default prefixes share, and the escapes that could stand for one of its letters."""
    shared = "cdi.k8s.io"
    assert all(shared in prefix for prefix in DEFAULTS["requests.annotations"]), "a default prefix would escape the launcher"
    escapes = {f"\\u{ord(letter):04{form}}" for letter in shared for form in "xX"}
    tens = {escape[:-1] for escape in escapes if escape[-2:-1] in "67"}  # \u006, \u007: one pattern for all letters
    return [shared, *sorted(tens), *sorted(escape for escape in escapes if escape[:-1] not in tens)]


def main() -> int:
    """Print the launcher."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", required=True, help="the interpreter, absolute")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--hot", help="print cdi-runtime, which runs this: hot.pyc, absolute")
    what.add_argument("--tool", metavar="LIB", help="print cdi-hook instead, which imports from this directory, absolute")
    parser.add_argument("--etc", default="/etc/cdi-hook", help="the directory of our settings")
    parser.add_argument("--grep", default="/usr/bin/grep", help="grep, absolute; or such words as '/bin/busybox grep'")
    args = parser.parse_args()
    text = tool(args.python, args.tool) if args.tool else render(args.python, args.hot, etc=args.etc, grep=args.grep)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
