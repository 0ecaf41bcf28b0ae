"""What is told to people and collectors, and kept. Row 2."""
