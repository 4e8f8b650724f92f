"""The report on sheets of one's own: from the sheets to what the report says."""
