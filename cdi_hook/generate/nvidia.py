"""A spec for NVIDIA GPUs, made by NVIDIA's own tool. Row 5, cold."""

from __future__ import annotations

import shutil
import subprocess

from cdi_hook.cdi import specfile
from cdi_hook.errors import CdiError, FaultsError, os_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.model import Spec

TOOL = "nvidia-ctk"
_FIX = "install the NVIDIA Container Toolkit, or name the tool's path"


def generate_nvidia_spec(tool: str = TOOL, *, timeout: float = 60.0) -> Spec:
    """What ``nvidia-ctk cdi generate`` says about this host, checked; nothing is written.

    ``tool``: its name on PATH, or its path; ``timeout``: seconds that it may take. Raises CdiError when it is not there, fails or takes
    too long, and SpecError (FaultsError for several) when what it prints is no valid spec.

    >>> registry.write_spec(generate_nvidia_spec(), "nvidia.com-gpu")  # doctest: +SKIP
    '/var/run/cdi/nvidia.com-gpu.yaml'
    """
    path = shutil.which(tool)
    if path is None:
        raise CdiError(f"{tool} is not there", fix=_FIX)
    command = f"{path} cdi generate"
    try:
        done = subprocess.run([path, "cdi", "generate"], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise CdiError(f"{command}: took more than {timeout:g} s and was stopped") from None
    except OSError as error:
        raise CdiError(f"{command}: {os_words(error)}", fix=_FIX) from None
    if done.returncode:
        raise CdiError(f"{command}: exit status {done.returncode}: {_last_line(done.stderr)}")
    loaded = specfile.parse(done.stdout, file=f"output of {command}")
    if loaded.spec is None:
        raise loaded.faults[0] if len(loaded.faults) == 1 else FaultsError(loaded.faults)
    return loaded.spec


def _last_line(text: bytes) -> str:
    """Where a tool that logs its way says why it gave up."""
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"
