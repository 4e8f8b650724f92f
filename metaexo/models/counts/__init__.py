"""Models of event counts: nothing is added to zeros, and studies without events are counted."""
