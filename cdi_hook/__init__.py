"""CDI devices for every OCI runtime. Layer 0, hot: importing the package loads nothing but this.

The Python interface is described in ``docs/api.md``::

    from cdi_hook import Registry
    from cdi_hook.names import parse_qualified_name
    from cdi_hook.annotations import parse_annotations
"""

# No "from __future__ import annotations" here: it would hide our module of that name.

__version__ = "0.1.0"
"""The only place where the version is written."""

__all__ = ["Registry", "__version__", "generate_nvidia_spec"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.generate.nvidia import generate_nvidia_spec
    from cdi_hook.registry import Registry
else:

    def __getattr__(name):
        """Import the public names when they are first asked for, so that the hot path never pays for them."""
        if name == "Registry":
            from cdi_hook.registry import Registry

            return Registry
        if name == "generate_nvidia_spec":
            from cdi_hook.generate.nvidia import generate_nvidia_spec

            return generate_nvidia_spec
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
