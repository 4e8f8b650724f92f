"""From a table of reported statistics to effects: what is reported, derived, bounded, and why not."""
