"""Reports: tables, text and the reproduction of everything that the analyses write."""
