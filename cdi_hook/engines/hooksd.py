"""Our OCI hooks files for engines that read a hooks directory (oci-hooks(5)). Row 4, cold."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from cdi_hook.engines.base import Change, Site, change, read
from cdi_hook.errors import EngineError

SHARED = "/usr/share/containers/oci/hooks.d"
"""Read by podman and CRI-O alike. A precreate hook must never go there: CRI-O refuses to start on a stage that it does not know."""

_COMMAND = "cdi-hook"


def install(site: Site, stage: str, directory: str) -> list[Change]:
    """Put the package's hook of this stage into a directory, calling the ``cdi-hook`` beside our wrapper. Raises EngineError.

    It is called for the annotations that the settings name. Engines start a hook with the environment of its file, so settings that are
    not in the usual place are named there.
    """
    if stage == "precreate" and os.path.normpath(directory) == site.at(SHARED):
        raise EngineError("is read by CRI-O too, which does not start when it finds a precreate hook", file=directory)
    name, hook = _packaged(site, stage)
    hook["hook"]["path"] = os.path.join(os.path.dirname(site.wrapper), _COMMAND)
    hook["when"] = {"annotations": {f"^({'|'.join(map(re.escape, site.prefixes))})": ".*"}}
    if site.settings != Site.settings:
        hook["hook"]["env"].append(f"CDI_HOOK_CONFIG={site.settings}")
    path = os.path.join(directory, name)
    return change(path, read(path), (json.dumps(hook, indent=2) + "\n").encode(), "hook")


def is_ours(data: bytes) -> bool:
    """Is this a hooks file that calls us?"""
    try:
        path = json.loads(data)["hook"]["path"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(path, str) and os.path.basename(path) == _COMMAND


def found(directories: list[str]) -> list[tuple[str, str, list[str]]]:
    """Our hooks in these directories: (file, program that it calls, stages)."""
    result = []
    for directory in directories:
        for name in sorted(_listed(directory)):
            path = os.path.join(directory, name)
            try:
                with open(path, "rb") as stream:
                    data = stream.read(1 << 20)
            except OSError:
                continue
            if is_ours(data):
                hook = json.loads(data)
                result.append((path, str(hook["hook"]["path"]), [str(stage) for stage in hook.get("stages") or []]))
    return result


def _listed(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.endswith(".json")]
    except OSError:
        return []


def _packaged(site: Site, stage: str) -> tuple[str, dict[str, Any]]:
    for name in sorted(_listed(site.hooks)):
        with open(os.path.join(site.hooks, name), encoding="utf-8") as stream:
            hook = json.load(stream)
        if stage in hook.get("stages", ()):
            return name, hook
    raise EngineError(f"this installation has no {stage} hook", file=site.hooks, fix="install cdi-hook with packaging/install.sh")
