"""Edits on a container that was created already. Row 4, cold."""
