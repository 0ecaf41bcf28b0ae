"""The state of a container, as a runtime gives it to a hook on standard input, and the bundle that it leads to. Row 2, cold.

OCI runtime specification 1.3.0, ``runtime.md``, "State". It is hostile input: the runtime wrote it, but its annotations are a user's.
Which runtime puts what into it is in ``docs/entry-points.md``.
"""

from __future__ import annotations

import os

from cdi_hook.errors import BundleError, os_words
from cdi_hook.oci import bundle, jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "the container state on standard input"

_STDIN = 0
_BLOCK = 1 << 16
_LARGEST = 16 << 20


def read() -> bytes:
    """All of standard input. Raises BundleError."""
    blocks: list[bytes] = []
    size = 0
    while size <= _LARGEST:
        try:
            block = os.read(_STDIN, _BLOCK)
        except OSError as error:
            raise BundleError(f"cannot be read: {os_words(error)}", file=NAME) from None
        if not block:
            return b"".join(blocks)
        blocks.append(block)
        size += len(block)
    raise BundleError("is too large", file=NAME)


def parse(data: bytes) -> dict[str, Any]:
    """The state as an object whose paths and annotations have the right type. Raises BundleError."""
    state = jsonio.loads(data, file=NAME)
    if not isinstance(state, dict):
        raise BundleError("is not an object", file=NAME)
    for key in ("bundle", "root"):
        value = state.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise BundleError("is not a path", file=NAME, field=key)
    annotations = state.get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        raise BundleError("is not an object", file=NAME, field="annotations")
    return state


def read_bundle(state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """``(path, config)`` of the bundle: where the state says, else around crun's ``root``, else where we stand. Raises BundleError."""
    tried = []
    for directory in (state.get("bundle", ""), os.path.dirname(state.get("root", "")), os.getcwd()):
        if not directory.startswith("/") or directory in tried:
            continue
        tried.append(directory)
        read = bundle.read_config(f"{directory}/config.json")
        if read is not None:
            config = jsonio.loads(read[0], file=f"{directory}/config.json")
            if not isinstance(config, dict):
                raise BundleError("is not an object", file=f"{directory}/config.json")
            return directory, config
    raise BundleError(f"leads to no config.json (tried {', '.join(tried)})", file=NAME, field="bundle")


def rootfs(directory: str, config: dict[str, Any], state: dict[str, Any]) -> str:
    """The absolute path of the container's root on the host. Raises BundleError when nothing names it."""
    root = config.get("root")
    path = root.get("path") if isinstance(root, dict) else None
    path = path or state.get("root")
    if not isinstance(path, str) or not path or "\0" in path:
        raise BundleError("is not a path", file=f"{directory}/config.json", field="root.path")
    return os.path.join(directory, path)
