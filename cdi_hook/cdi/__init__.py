"""The CDI specification: names, annotations, specs, the index of their devices, and what their edits do to an OCI config. Row 4."""
