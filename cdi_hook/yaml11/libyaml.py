"""PyYAML's C parser, loaded in a process of our own with as little else of PyYAML as possible. Row 2, cold.

Half of the first create after a spec has changed would go into importing what nobody calls: PyYAML's parser, constructor and
representer in Python, with ``re`` and ``datetime`` behind them.
"""

from __future__ import annotations

import sys

from cdi_hook.errors import CdiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IN_PYTHON = ("reader", "scanner", "parser", "composer", "constructor", "emitter", "serializer", "representer")
"""The modules of which the C parser wants one error class each, and we nothing."""


def load() -> tuple[Any, Any, Any]:
    """``(CParser, YAMLError, events)``: the parser's class, the base of what it raises, the module of its events.

    Raises CdiError when PyYAML is missing, or was built without libyaml.
    """
    modules = sys.modules
    if "yaml._yaml" not in modules:
        try:
            # Our launchers start Python so. An embedder's process gets the whole of PyYAML, which it may want itself.
            if not (sys.flags.isolated and sys.flags.no_site and "yaml" not in modules and _import_alone()):
                import yaml._yaml  # noqa: F401 # it is taken from sys.modules
        except ImportError as missing:
            raise CdiError(f"YAML cannot be read: {missing}", fix="install PyYAML with its C extension (Debian: python3-yaml)") from None
    return modules["yaml._yaml"].CParser, modules["yaml.error"].YAMLError, modules["yaml.events"]


def _import_alone() -> bool:
    """Import the C parser into a package ``yaml`` that is none, and take that away again; False if this PyYAML does not let us."""
    from importlib.machinery import PathFinder

    found = PathFinder.find_spec("yaml")
    if found is None or found.submodule_search_locations is None:
        return False
    package: Any = type(sys)("yaml")
    package.__path__ = found.submodule_search_locations
    sys.modules["yaml"] = package
    try:
        import yaml.error
        import yaml.events
        import yaml.nodes
        import yaml.tokens

        class NoTextError(yaml.error.YAMLError):
            """Bytes that are no text: the one error without marks."""

            def __init__(self, name: Any, position: int, character: Any, encoding: str, reason: str) -> None:
                super().__init__(reason)
                self.position = position
                self.reason = reason

        for name in _IN_PYTHON:
            # Whoever imports the real package later still catches them as ``yaml.YAMLError``.
            class_ = f"{name.title()}Error"
            module: Any = type(sys)(f"yaml.{name}")
            base = NoTextError if name == "reader" else yaml.error.MarkedYAMLError
            setattr(module, class_, type(class_, (base,), {}))
            setattr(package, name, module)
        import yaml._yaml  # it stays in sys.modules
    except (ImportError, AttributeError):
        return False
    finally:
        del sys.modules["yaml"]
    return True
