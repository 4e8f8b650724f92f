"""What the evidence holds: rows, reporting, safety, sizes, shares explained."""
