"""YAML 1.1 as the reference library reads it. Row 2, cold."""
