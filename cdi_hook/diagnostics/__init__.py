"""What would happen, what is, and why. Returns data that ``cli`` prints. Row 6, cold."""
