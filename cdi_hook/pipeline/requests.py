"""Requests without annotations, for engines that pass none: environment variables and mounts. Row 5, cold.

Both are off unless the settings name them, because the first may come from the image: whoever writes its ``ENV`` would ask for
devices. A mount cannot: an image's ``VOLUME`` never binds ``/dev/null``.
"""

from __future__ import annotations

from cdi_hook.cdi.names import parse_qualified_name, split_selector
from cdi_hook.errors import NameSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MOUNT_ROOT = "/var/run/cdi-hook/devices/"
"""A bind mount of ``/dev/null`` at ``MOUNT_ROOT vendor/class/device`` asks for that device."""

_NVIDIA_VARIABLE = "NVIDIA_VISIBLE_DEVICES"
_NVIDIA_KIND = "nvidia.com/gpu"
_NOTHING = ("", "none", "void")


def from_environment(config: dict[str, Any], variables: Iterable[str], *, selectors: bool = False) -> list[tuple[str, str]]:
    """``(name, where)`` for each device that one of these variables of the container's process asks for, comma separated.

    In ``NVIDIA_VISIBLE_DEVICES`` also ``all``, an index or a UUID (devices of ``nvidia.com/gpu``), and ``none`` or ``void``: no device.
    Raises NameSyntaxError for anything else; the value itself is not shown.
    """
    process = config.get("process")
    env = process.get("env") if isinstance(process, dict) else None
    values = {}
    for entry in env if isinstance(env, list) else ():
        if isinstance(entry, str):
            name, _, value = entry.partition("=")
            values[name] = value
    found = []
    for variable in variables:
        for text in values.get(variable, "").split(","):
            text = text.strip()
            if text in _NOTHING:
                continue
            if variable == _NVIDIA_VARIABLE and "/" not in text:
                text = f"{_NVIDIA_KIND}={text}"
            _check(text, f"process.env[{variable}]", selectors)
            found.append((text, f"environment variable {variable}"))
    return found


def from_mounts(config: dict[str, Any], *, selectors: bool = False) -> list[tuple[str, str]]:
    """``(name, where)`` for each request mount. Raises NameSyntaxError when one does not name a device."""
    found = []
    for mount in _request_mounts(config):
        path = mount["destination"]
        vendor, _, rest = path[len(MOUNT_ROOT) :].partition("/")
        class_, _, device = rest.partition("/")
        text = f"{vendor}/{class_}={device}"
        _check(text, f"mounts[{path}]", selectors)
        found.append((text, f"mount {path}"))
    return found


def remove_mounts(config: dict[str, Any]) -> bool:
    """Take the request mounts out of the config, in place; whether there were any."""
    asked = _request_mounts(config)
    for mount in asked:
        config["mounts"].remove(mount)
    return bool(asked)


def _request_mounts(config: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = config.get("mounts")
    return [mount for mount in mounts if _asks(mount)] if isinstance(mounts, list) else []


def _asks(mount: Any) -> bool:
    if not isinstance(mount, dict) or mount.get("source") != "/dev/null":
        return False
    destination, options = mount.get("destination"), mount.get("options")
    bound = mount.get("type") == "bind" or (isinstance(options, list) and ("bind" in options or "rbind" in options))
    return bound and isinstance(destination, str) and destination.startswith(MOUNT_ROOT)


def _check(text: str, field: str, selectors: bool) -> None:
    if selectors and split_selector(text):
        return
    try:
        parse_qualified_name(text)
    except NameSyntaxError:
        raise NameSyntaxError("does not hold CDI device names", field=field, fix="write vendor.com/class=device") from None
