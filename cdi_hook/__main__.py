"""``cdi-hook`` and ``python3 -m cdi_hook``: the switchboard. Layer 5.

Looks at the first argument before anything else is imported: as an OCI hook we are started for every container, as a tool rarely.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Go through the door that the first argument names. ``argv``: without the program's name. Returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    door = argv[0] if argv else ""
    if door == "createRuntime":
        from cdi_hook import hook

        return hook.main(argv)
    if door == "precreate":
        from cdi_hook import precreate

        return precreate.main(argv)
    from cdi_hook.cli.main import main as tool

    return tool(argv)


if __name__ == "__main__":
    sys.exit(main())
