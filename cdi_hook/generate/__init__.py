"""Generators of specs: each finds hardware and returns a spec; none of them writes anything. Row 5, cold."""
