"""What is said of sheets before any analysis: where studies go, which rows give an effect."""
