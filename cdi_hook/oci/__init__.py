"""An OCI runtime's command line, its features, the bundle and the config in it. Row 2."""
