"""``cdi-hook`` and ``python3 -m cdi_hook``: the switchboard. Row 8.

Looks at the first argument before anything else is imported: as an OCI hook we are started for every container, as a tool rarely.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Turn to what the first argument names. ``argv``: without the program's name. Returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    name = argv[0] if argv else ""
    if name == "createRuntime":
        from cdi_hook.entrypoints import createruntime

        return createruntime.main(argv)
    if name == "precreate":
        from cdi_hook.entrypoints import precreate

        return precreate.main(argv)
    if name == "helper":
        from cdi_hook.entrypoints import helper

        return helper.main(argv)
    from cdi_hook.cli.main import main as tool

    return tool(argv)


if __name__ == "__main__":
    sys.exit(main())
