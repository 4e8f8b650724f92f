"""Bivariate models of the risks or rates of both arms of each study."""
