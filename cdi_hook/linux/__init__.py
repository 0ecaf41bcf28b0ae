"""The kernel, one subject a module; nothing here knows a word of CDI. Row 3, cold."""
