"""Our own configuration. Row 3."""
