"""What every entry point does with a container: collect the requests, resolve, decide, apply, harden. Row 5, hot."""
