"""Container engines, one module each, loaded by name when asked for. Row 4, cold.

A new engine is a module with an ``ENGINE`` and a row here.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.engines.base import Engine

ENGINES = {
    "containerd": "cdi_hook.engines.containerd",
    "crio": "cdi_hook.engines.crio",
    "podman": "cdi_hook.engines.podman",
    "docker": "cdi_hook.engines.docker",
}


def load(name: str) -> Engine:
    """The engine of this name. Raises KeyError for a name that is no row."""
    engine: Engine = importlib.import_module(ENGINES[name]).ENGINE
    return engine
