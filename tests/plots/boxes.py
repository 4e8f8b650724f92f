"""Boxes of the texts of a page, to see that none overlap."""

from __future__ import annotations

from metaexo.plots.canvas.fonts import text_width
from metaexo.plots.canvas.page import overlapping

ASCENT, DESCENT = 0.93, 0.24


def text_box(text):
    """Return left, top, right and bottom of a text in points."""
    width = text_width(text.text, text.size, text.bold)
    before = {"left": 0.0, "center": width / 2, "right": width}[text.align]
    above, below = ASCENT * text.size, DESCENT * text.size
    if text.upright:
        low = text.y + before
        return text.x - above, low - width, text.x + below, low
    left = text.x - before
    return left, text.y - above, left + width, text.y + below


def clashes(page, tolerance=0.01):
    """Return the pairs of texts of a page that overlap, and those that leave the page."""
    boxes = [(text.text, text_box(text)) for text in page.texts]
    found = overlapping(boxes, tolerance)
    found += [
        (name, "leaves the page")
        for name, (left, top, right, bottom) in boxes
        if left < -tolerance
        or top < -tolerance
        or right > page.width + tolerance
        or bottom > page.height + tolerance
    ]
    return found
