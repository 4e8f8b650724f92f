"""Hands the gallery the figures that an analysis wrote, rather than those left open on the canvas."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

from metaexo.report.collected import MANIFEST, read_manifest


def _get_sg_image_scraper() -> Callable[..., str]:
    return collect


def collect(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Copy the pictures of one script, once, and return the text that shows them."""
    figures = Path(os.environ["METAEXO_OUTPUT"]) / "figures"
    script = Path(block_vars["src_file"]).stem
    pictures = []
    for entry in read_manifest(figures / MANIFEST):
        source = figures / entry.file
        if entry.script == script and source.suffix == ".png" and source.is_file():
            target = Path(next(block_vars["image_path_iterator"]))
            shutil.move(source, target)
            pictures.append((str(target), entry.title))
    titles = " / ".join(title for _, title in pictures)
    return figure_rst([path for path, _ in pictures], gallery_conf["src_dir"], titles)
