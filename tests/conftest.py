"""How hypothesis works in all tests: the same examples in each run, and no clock, since the machines are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("cdi-hook", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cdi-hook")
