"""Lengths, fonts, scales and words of figures, and the page that they are drawn on."""
