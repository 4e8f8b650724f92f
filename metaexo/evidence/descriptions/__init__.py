"""What the evidence holds: rows, reporting, sizes, methods on one material."""
