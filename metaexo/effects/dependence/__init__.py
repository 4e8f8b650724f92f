"""Effects of one study that share people: covariances, shared controls, one effect per study."""
