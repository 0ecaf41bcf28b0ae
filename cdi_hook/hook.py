"""The createRuntime door: the state of a created container on standard input, an exit status back. Layer 5.

Runs as root in the runtime's namespaces after the container was made and before it starts (runtime specification 1.3.0, "Lifecycle",
step 6). The state is hostile input: the runtime wrote it, but its annotations are a user's. Which runtime puts what into it is in
``docs/doors.md``.
"""

from __future__ import annotations

import os
import signal
import sys

from cdi_hook import delivery, jsonio, pipeline, settings
from cdi_hook.errors import BundleError, CdiError, internal, os_words
from cdi_hook.linux import syslog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from cdi_hook.model import Settings

_STDIN = 0
_BLOCK = 1 << 16
_LARGEST_STATE = 16 << 20
_LARGEST_PID = 1 << 22
"""``PID_MAX_LIMIT`` of the kernel, which would take a longer number for another one."""

_TOO_LATE = ("running", "paused", "stopped")
"""What a container is called that is not on its way to the start any more."""

_FIX_STAGE = "register the hook for the stage createRuntime, whose state has the container's pid"
_STATE = "the container state on standard input"


def main(argv: list[str] | None = None) -> int:
    """Fulfil the requests of a container; 0 when all is done or nothing was asked for, else 1. ``argv``: ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # crun starts hooks with every signal blocked.
    ours: Settings | None = None
    try:
        ours, fault = settings.read(*settings.locate("cdi-hook", os.environb))
        if fault is not None:
            raise fault
        if ours["enabled"]:
            run(_read(), ours)
    except CdiError as error:
        _fail(str(error), ours)
    except BaseException as error:  # no traceback ever reaches an engine's user
        _fail(internal(error), ours)
    else:
        return 0
    return 1


def run(data: bytes, ours: Settings) -> None:
    """Do the job of the hook for a state as JSON text. Raises CdiError."""
    state = read_state(data)
    bundle, config = read_bundle(state)
    asking = {**config, "annotations": state["annotations"]} if state.get("annotations") else config
    found = pipeline.plan(asking, ours, file=f"{bundle}/config.json")
    if found is None:
        return
    for warning in found.warnings:
        delivery.log(ours, "warning", str(warning))
    if found.ops:
        # Only now: a container that asks for nothing shall not wait for ctypes.
        from cdi_hook import live
        from cdi_hook.linux.namespaces import Process

        process = Process(state["pid"])
        live.apply(live.Container(process, rootfs(bundle, config, state), state, config), found.ops, ours)


def read_state(data: bytes) -> dict[str, Any]:
    """The state, its fields checked. Raises BundleError."""
    state = jsonio.loads(data, file=_STATE)
    if not isinstance(state, dict):
        raise BundleError("is not an object", file=_STATE)
    pid = state.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid <= _LARGEST_PID:
        raise BundleError("names no process", file=_STATE, field="pid", fix=_FIX_STAGE)
    if state.get("status") in _TOO_LATE:
        raise BundleError(f"is {state['status']}: the container has started already", file=_STATE, field="status", fix=_FIX_STAGE)
    for key in ("bundle", "root"):
        value = state.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise BundleError("is not a path", file=_STATE, field=key)
    annotations = state.get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        raise BundleError("is not an object", file=_STATE, field="annotations")
    return state


def read_bundle(state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """``(path, config)`` of the bundle: where the state says, else around crun's ``root``, else where we stand. Raises BundleError."""
    tried = []
    for bundle in (state.get("bundle", ""), os.path.dirname(state.get("root", "")), os.getcwd()):
        if not bundle.startswith("/") or bundle in tried:
            continue
        tried.append(bundle)
        read = delivery.read_config(f"{bundle}/config.json")
        if read is not None:
            config = jsonio.loads(read[0], file=f"{bundle}/config.json")
            if not isinstance(config, dict):
                raise BundleError("is not an object", file=f"{bundle}/config.json")
            return bundle, config
    raise BundleError(f"leads to no config.json (tried {', '.join(tried)})", file=_STATE, field="bundle")


def rootfs(bundle: str, config: dict[str, Any], state: dict[str, Any]) -> str:
    """The absolute path of the container's root on the host. Raises BundleError when nothing names it."""
    root = config.get("root")
    path = root.get("path") if isinstance(root, dict) else None
    path = path or state.get("root")
    if not isinstance(path, str) or not path or "\0" in path:
        raise BundleError("is not a path", file=f"{bundle}/config.json", field="root.path")
    return os.path.join(bundle, path)


def _fail(message: str, ours: Settings | None) -> None:
    """Say why the container does not start, wherever somebody may look: crun sends a hook's output to /dev/null. ``ours``: None when
    even the settings are unknown."""
    delivery.report(message)
    if ours is not None:
        delivery.log(ours, "error", message)
    syslog.send(message)


def _read() -> bytes:
    blocks: list[bytes] = []
    size = 0
    while size <= _LARGEST_STATE:
        try:
            block = os.read(_STDIN, _BLOCK)
        except OSError as error:
            raise BundleError(f"cannot be read: {os_words(error)}", file=_STATE) from None
        if not block:
            return b"".join(blocks)
        blocks.append(block)
        size += len(block)
    raise BundleError("is too large", file=_STATE)


def _stop(number: int, frame: object) -> NoReturn:
    """A signal that would end us ends the job first, which is undone."""
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise CdiError(f"was stopped by signal {number}")


if __name__ == "__main__":
    sys.exit(main())
