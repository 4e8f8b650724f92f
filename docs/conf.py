"""How the documentation is built: `make docs`."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

import reference_page  # noqa: E402 (it stands in the folder that was just added)

os.environ["MPLBACKEND"] = "agg"
reference_page.write(HERE)

_project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _project["name"]
author = _project["authors"][0]["name"]
project_copyright = f"2026, {author}"
release = version = _project["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "answers",
    "changelog",
    "codebook",
    "doi_links",
    "drawn_figures",
    "findings",
    "formulas",
    "link_check",
    "mathml",
    "measures_table",
    "opening",
    "reference_page",
]
exclude_patterns = ["_build", "extensions", "gallery", "static"]
default_role = "py:obj"
# A name in single backticks may be a parameter; what is named with a role has to be there.
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]

autosummary_generate = False  # the pages are written above
autodoc_typehints = "none"  # numpydoc shows the types in words
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False

html_math_renderer_name = "mathml"
# A copied example is what is typed: without prompts and without what is printed.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_context = {"default_mode": "auto"}
html_theme = "pydata_sphinx_theme"
html_title = f"metaexo {release}"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
# The front page and the gallery need the width.
html_sidebars = {"index": [], "figure_gallery": []}
html_theme_options = {
    "logo": {"text": f"metaexo {release}"},
    "header_links_before_dropdown": 7,
    "navigation_depth": 2,
    "collapse_navigation": True,  # names of the reference only below the module that is open
    "show_toc_level": 2,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "figure_gallery": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
