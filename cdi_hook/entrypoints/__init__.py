"""The ways in: the runtime wrapper and the two OCI hooks, from arguments or standard input to an exit status. Row 6."""
