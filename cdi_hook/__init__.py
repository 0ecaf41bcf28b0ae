"""CDI devices for every OCI runtime. Row 6, hot: importing the package loads nothing but this.

The Python interface is what ``__all__`` lists; ``docs/api.md`` describes it::

    from cdi_hook import Registry, parse_annotations, parse_qualified_name
"""

from __future__ import annotations

__version__ = "0.1.0"
"""The only place where the version is written."""

__all__ = [
    "__version__",
    "Registry",
    "SpecFile",
    "generate_nvidia_spec",
    "parse_qualified_name",
    "qualified_name",
    "split_device",
    "split_kind",
    "check_vendor",
    "check_class",
    "check_device",
    "parse_annotations",
    "annotation_key",
    "annotation_value",
    "update_annotations",
    "generate_spec_name",
    "generate_transient_spec_name",
    "generate_name_for_spec",
    "generate_name_for_transient_spec",
    "CdiError",
    "SpecError",
    "VersionError",
    "NameSyntaxError",
    "UnresolvedError",
    "ConflictError",
    "SettingsError",
    "StaleError",
    "BundleError",
    "RuntimeNotFoundError",
    "EngineError",
    "KernelError",
    "FaultsError",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.cdi.annotations import annotation_key, annotation_value, parse_annotations, update_annotations
    from cdi_hook.cdi.names import check_class, check_device, check_vendor, parse_qualified_name, qualified_name, split_device, split_kind
    from cdi_hook.cdi.registry import (
        Registry,
        SpecFile,
        generate_name_for_spec,
        generate_name_for_transient_spec,
        generate_spec_name,
        generate_transient_spec_name,
    )
    from cdi_hook.errors import (
        BundleError,
        CdiError,
        ConflictError,
        EngineError,
        FaultsError,
        KernelError,
        NameSyntaxError,
        RuntimeNotFoundError,
        SettingsError,
        SpecError,
        StaleError,
        UnresolvedError,
        VersionError,
    )
    from cdi_hook.generate.nvidia import generate_nvidia_spec
else:

    def __getattr__(name):
        """Import a public name when it is first asked for, so that the hot path never pays for it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _cold_public(name)

    def _cold_public(name):
        from importlib import import_module

        if name.endswith("Error"):
            home = "errors"
        elif name == "generate_nvidia_spec":
            home = "generate.nvidia"
        elif "annotation" in name:
            home = "cdi.annotations"
        elif name.startswith("generate") or name in ("Registry", "SpecFile"):
            home = "cdi.registry"
        else:
            home = "cdi.names"
        found = globals()[name] = getattr(import_module(f"cdi_hook.{home}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
