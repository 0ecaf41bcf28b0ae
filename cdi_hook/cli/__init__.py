"""The command line: one module a command, each with ``add_arguments`` and ``run``, and no CDI logic of its own. Row 7, cold."""
