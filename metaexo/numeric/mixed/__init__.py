"""Linear mixed models with known sampling covariances: structures, likelihood, maximum; no large matrix."""
