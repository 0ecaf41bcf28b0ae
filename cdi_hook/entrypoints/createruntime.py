"""The createRuntime hook: the state of a created container on standard input, an exit status back. Row 6.

Runs as root in the runtime's namespaces after the container was made and before it starts (runtime specification 1.3.0, "Lifecycle",
step 6).
"""

from __future__ import annotations

import os
import signal
import sys

from cdi_hook.errors import BundleError, CdiError, internal
from cdi_hook.linux import syslog
from cdi_hook.oci import bundle, state
from cdi_hook.pipeline import plan
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from cdi_hook.model import Settings

_LARGEST_PID = 1 << 22
"""``PID_MAX_LIMIT`` of the kernel, which would take a longer number for another one."""

_TOO_LATE = ("running", "paused", "stopped")
"""What a container is called that is not on its way to the start any more."""

_FIX_STAGE = "register the hook for the stage createRuntime, whose state has the container's pid"


def main(argv: list[str] | None = None) -> int:
    """Fulfil the requests of a container; 0 when all is done or nothing was asked for, else 1. ``argv``: ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # crun starts hooks with every signal blocked.
    ours: Settings | None = None
    try:
        ours, fault = values.read(*values.locate("cdi-hook", os.environb))
        if fault is not None:
            raise fault
        if ours["enabled"]:
            run(state.read(), ours)
    except CdiError as error:
        _fail(str(error), ours)
    except BaseException as error:  # no traceback ever reaches an engine's user
        _fail(internal(error), ours)
    else:
        return 0
    return 1


def run(data: bytes, ours: Settings) -> None:
    """Do the job of the hook for a state as JSON text. Raises CdiError."""
    given = read_state(data)
    directory, config = state.read_bundle(given)
    asking = {**config, "annotations": given["annotations"]} if given.get("annotations") else config
    found = plan.make(asking, ours, file=f"{directory}/config.json")
    if found is None:
        return
    for warning in found.warnings:
        bundle.log(ours, "warning", str(warning))
    if found.ops:
        # Only now: a container that asks for nothing shall not wait for ctypes.
        from cdi_hook.linux.namespaces import Process
        from cdi_hook.live import edits as live

        process = Process(given["pid"])
        live.apply(live.Container(process, state.rootfs(directory, config, given), given, config), found.ops, ours)


def read_state(data: bytes) -> dict[str, Any]:
    """The state of a container that is on its way to the start. Raises BundleError."""
    found = state.parse(data)
    pid = found.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid <= _LARGEST_PID:
        raise BundleError("names no process", file=state.NAME, field="pid", fix=_FIX_STAGE)
    if found.get("status") in _TOO_LATE:
        raise BundleError(f"is {found['status']}: the container has started already", file=state.NAME, field="status", fix=_FIX_STAGE)
    return found


def _fail(message: str, ours: Settings | None) -> None:
    """Say why the container does not start, wherever somebody may look: crun sends a hook's output to /dev/null. ``ours``: None when
    even the settings are unknown."""
    bundle.report(message)
    if ours is not None:
        bundle.log(ours, "error", message)
    syslog.send(message)


def _stop(number: int, frame: object) -> NoReturn:
    """A signal that would end us ends the job first, which is undone."""
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise CdiError(f"was stopped by signal {number}")


if __name__ == "__main__":
    sys.exit(main())
