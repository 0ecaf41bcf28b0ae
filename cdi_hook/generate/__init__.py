"""Generators of specs: each finds hardware and returns a spec; none of them writes anything. Layer 3, cold."""
