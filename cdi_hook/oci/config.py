"""The types that an OCI config must have where CDI reads or writes it. Row 2, cold.

OCI runtime specification 1.3.0, ``config.md`` and ``config-linux.md``. For the pure path, which refuses a malformed config as the
reference does by reading it into typed structures. The entry points do without: where nothing is edited, the runtime
reports what is wrong.
"""

from __future__ import annotations

from cdi_hook.errors import BundleError
from cdi_hook.oci.jsonio import NumberText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOOK_STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
"""In the order in which a runtime comes to them."""

_UINT32 = range(1 << 32)
_INT64 = range(-(1 << 63), 1 << 63)

_HOOKS = [{"path": str, "args": [str], "env": [str], "timeout": _INT64}]

_SHAPE: dict[str, Any] = {
    "ociVersion": str,
    "hostname": str,
    "root": {"path": str, "readonly": bool},
    "process": {
        "terminal": bool,
        "cwd": str,
        "args": [str],
        "env": [str],
        "user": {"uid": _UINT32, "gid": _UINT32, "umask": _UINT32, "additionalGids": [_UINT32], "username": str},
    },
    "mounts": [{"destination": str, "type": str, "source": str, "options": [str]}],
    "hooks": dict.fromkeys(HOOK_STAGES, _HOOKS),
    "annotations": {"*": str},
    "linux": {
        "devices": [
            {"path": str, "type": str, "major": _INT64, "minor": _INT64, "fileMode": _UINT32, "uid": _UINT32, "gid": _UINT32},
        ],
        "resources": {"devices": [{"allow": bool, "type": str, "major": _INT64, "minor": _INT64, "access": str}]},
        "namespaces": [{"type": str, "path": str}],
        "netDevices": {"*": {"name": str}},
        "intelRdt": {"closID": str, "schemata": [str], "l3CacheSchema": str, "memBwSchema": str, "enableMonitoring": bool},
    },
}
"""A type, a range of integers, a list of one shape, or an object: the shapes of its members, ``*`` for all of a map."""

_WORDS = {str: "text", bool: "true or false", list: "a list", dict: "an object", int: "a number", float: "a number", NumberText: "a number"}


def check(config: Any) -> None:
    """Raise BundleError for the first field that has another type than CDI needs; null and unknown fields are fine anywhere.

    >>> check({"process": {"env": ["A=1"], "unknown": 1}, "linux": None})
    >>> check({"process": {"env": "A=1"}})
    Traceback (most recent call last):
    cdi_hook.errors.BundleError: process.env: is text, not a list; the engine that wrote this config must mend it
    """
    _check(config, _SHAPE, "")


def _check(value: Any, shape: Any, field: str) -> None:
    if value is None:
        return
    if isinstance(shape, range):
        if type(value) is not int:
            raise _wrong(field, value, "a whole number")
        if value not in shape:
            raise BundleError(f"is {value}, which is out of range", field=field, fix=f"{shape.start} to {shape.stop - 1} is possible")
        return
    wanted = shape if isinstance(shape, type) else type(shape)
    # A number that keeps its source text is a str to Python alone.
    if not isinstance(value, wanted) or isinstance(value, NumberText):
        raise _wrong(field, value, _WORDS[wanted])
    members: Any = value
    if isinstance(shape, list):
        for at, member in enumerate(members):
            _check(member, shape[0], f"{field}[{at}]")
    elif isinstance(shape, dict):
        for key, member in members.items():
            if key in shape or "*" in shape:
                _check(member, shape.get(key, shape.get("*")), f"{field}.{key}" if field else str(key))


def _wrong(field: str, value: object, wanted: str) -> BundleError:
    return BundleError(
        f"is {_WORDS.get(type(value), type(value).__name__)}, not {wanted}",
        field=field,
        fix="the engine that wrote this config must mend it" if field else "pass the content of config.json",
    )
