"""The documentation as a reader meets it, in a real browser: `make docs` builds it first, and runs this."""

from __future__ import annotations

import pytest

# Front page, formulas, figures, one finding, one page of the reference.
PAGES = ["index", "variability", "figure_gallery", "findings/03_isolation_methods", "api/metaexo.stratify"]
DESKTOP, PHONE = 1280, 390


@pytest.fixture(scope="module")
def site(root):
    built = root / "docs" / "_build" / "html"
    if not (built / "_static" / "site.css").is_file():
        pytest.skip("the documentation is not built here: make docs")
    return built


@pytest.fixture(scope="module")
def visited(site, browser):
    """Return what each page asked for, what the console said, its faults by axe and its width on a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = {}
    page = browser.new_page(viewport={"width": DESKTOP, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    for name in PAGES:
        said.clear()
        asked.clear()
        page.set_viewport_size({"width": DESKTOP, "height": 900})
        page.goto((site / f"{name}.html").as_uri())
        requests, faults = list(asked), [text for text in said if not text.startswith("log:")]
        # of the long gallery, the part that is its own
        part = ".thumbnails" if name == "figure_gallery" else None
        violations = axe.run(page, part, options={"preload": False}).response["violations"]
        page.set_viewport_size({"width": PHONE, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        found[name] = (requests, faults, violations, width)
    page.close()
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_network_and_says_no_error(name, visited):
    asked, said, _, _ = visited[name]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_used_with_keys_and_a_screen_reader(name, visited):
    _, _, violations, _ = visited[name]
    grave = [one for one in violations if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in grave] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(name, visited):
    assert visited[name][3] <= PHONE


def test_the_search_finds_a_method(site, browser):
    page = browser.new_page()
    page.goto((site / "search.html").as_uri() + "?q=Knapp")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("models" in text.lower() or "Knapp" in text for text in found)
    page.close()


def test_formulas_have_rows_one_below_the_other(site, browser):
    page = browser.new_page(viewport={"width": DESKTOP, "height": 900})
    page.goto((site / "effects" / "means.html").as_uri())
    rows = (
        page.locator("math mtable")
        .first.locator("mtr")
        .evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
    )
    assert len(rows) > 1
    assert rows == sorted(set(rows))
    page.close()
