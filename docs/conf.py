"""How the documentation is built: `make docs`."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

import reference_page  # noqa: E402 (it stands in the folder that was just added)

# The gallery runs the analyses; what they write goes here and not into the checkout.
os.environ["METAEXO_OUTPUT"] = str(HERE / "_build" / "gallery")
os.environ["MPLBACKEND"] = "agg"
for _page in (HERE / "gallery").glob("[0-9][0-9]_*"):  # pages of scripts that are gone
    if not (HERE.parent / "analyses" / f"{_page.name.partition('.')[0]}.py").exists():
        _page.unlink()

reference_page.write(HERE / "reference.rst")

_project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _project["name"]
author = _project["authors"][0]["name"]
project_copyright = f"2026, {author}"
release = version = _project["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "answers",
    "codebook",
    "drawn_figures",
    "formulas",
    "measures_table",
]
exclude_patterns = ["_build", "extensions", "templates"]
default_role = "py:obj"
# The names of the scripts have no spaces; the folder that a checkout stands in may have.
suppress_warnings = ["sphinx_gallery.space_in_filename"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc shows the types in words
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
templates_path = ["templates"]

sphinx_gallery_conf = {
    "examples_dirs": "../analyses",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]\d\d_\w+\.py$",
    "ignore_pattern": r"[\\/](?!\d\d_)\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("written_figures",),
    "reset_modules": (),
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}

html_theme = "alabaster"
html_title = f"metaexo {release}"
html_show_sourcelink = False
html_theme_options = {
    "description": _project["description"],
    "page_width": "1180px",
    "sidebar_width": "220px",
    "code_font_size": "0.76em",
    "fixed_sidebar": True,
}
