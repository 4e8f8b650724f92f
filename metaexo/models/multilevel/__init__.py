"""Models of dependent effects: several random terms and known covariances."""
