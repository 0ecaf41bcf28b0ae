"""The precreate hook: podman's filter on the config, before any runtime sees it. Row 6, hot.

podman gives the whole config on standard input and takes the one it finds on standard output (oci-hooks(5), stage ``precreate``). All
edits work here. podman gives no environment, shows nobody our standard error, and drops fields that its own types do not know: what
would be lost that way is refused by name.
"""

from __future__ import annotations

import posix
import sys

from cdi_hook import memory
from cdi_hook.errors import CdiError, FaultsError, internal
from cdi_hook.oci import arguments, bundle, jsonio
from cdi_hook.pipeline import plan
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.model import Op, Settings

_BLOCK = 1 << 16
_STDIN, _STDOUT = 0, 1
_NAME = "the config on standard input"

_MOST_PARTICULAR = "runc"
"""The family that cannot do what the others can: in a user namespace, a node that has another path on the host."""

_KNOWS_ALL = (1, 3)
"""The runtime specification whose types have every field that an edit can bring; a config names the version its engine was built on."""


def main(argv: list[str] | None = None) -> int:
    """Filter a config; 0 when standard output has it, 1 when it has nothing. ``argv``: ignored."""
    ours: Settings | None = None
    try:
        ours, fault = values.read(*values.locate("cdi-hook", posix.environ))
        if fault is not None:
            raise fault
        data = _read()
        memory.write(_STDOUT, filtered(data, ours))
    except CdiError as error:
        _fail(str(error), ours)
    except BaseException as error:  # no traceback ever reaches an engine's user
        _fail(internal(error), ours)
    else:
        return 0
    return 1


def filtered(data: bytes, ours: Settings) -> bytes:
    """The config with its requests fulfilled: the same bytes when there are none. Raises CdiError."""
    if not ours["enabled"]:
        return data
    runtime = ours["runtime"]
    # podman does not say which runtime it will call: unless the settings do, the edits take the form that every runtime understands.
    family = arguments.family(runtime) if runtime else _MOST_PARTICULAR
    edited, found = plan.edit(data, ours, file=_NAME, runtime=runtime, family=family)
    if found is not None:
        lost = _lost(found.ops + found.held)
        if lost and not _knows_all(data):
            raise FaultsError(_refusal(words, op) for words, op in lost)
        for warning in found.warnings:
            bundle.log(ours, "warning", str(warning))
    return data if edited is None else edited


def _lost(ops: list[Op]) -> list[tuple[str, Op]]:
    """``(words, op)`` of the edits that become fields which an older podman does not know."""
    found = []
    for op in ops:
        kind, value, _ = op
        if kind == "net":
            found.append((f"net device {value[0]}", op))
        elif kind == "rdt":
            found.extend((f"Intel RDT {key}", op) for key in ("schemata", "enableMonitoring") if key in value)
    return found


def _refusal(words: str, op: Op) -> CdiError:
    file, device = op[2]
    return CdiError(f"{words}: podman would drop it without a word", file=file, field=device, fix="the runtime wrapper can do it")


def _knows_all(data: bytes) -> bool:
    config: dict[str, Any] = jsonio.loads(data, file=_NAME)
    version = config.get("ociVersion")
    numbers = version.split("-")[0].split(".")[:2] if isinstance(version, str) else []
    return all(number.isdigit() for number in numbers) and tuple(int(number) for number in numbers) >= _KNOWS_ALL


def _read() -> bytes:
    data = b""
    while True:
        block = posix.read(_STDIN, _BLOCK)
        if not block:
            return data
        data += block


def _fail(message: str, ours: Settings | None) -> None:
    """Say why the container does not start, wherever somebody may look. ``ours``: None when even the settings are unknown."""
    bundle.report(message)
    if ours is not None:
        bundle.log(ours, "error", message)
    _cold_syslog(message)


def _cold_syslog(message: str) -> None:
    from cdi_hook.linux import syslog

    syslog.send(message)


if __name__ == "__main__":
    sys.exit(main())
