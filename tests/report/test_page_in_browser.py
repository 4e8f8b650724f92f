"""The page of a report in a real browser: quiet, whole, usable by keyboard, on a phone and on paper."""

from __future__ import annotations

import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import metaexo as mx
from metaexo.report.workbook import BYTE_ORDER_MARK, csv_text
from tests.report.made_up import HOSTILE, report

DESK, PHONE = (1280, 900), (390, 844)
A4_WIDTH, A4_TURNED = 673, 1009  # pixels between the margins of a page, and of one turned on its side


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Return the address of the page of a report whose texts try to break it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(mx.report.html_page(report(12, hostile=True)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser, address):
    """Return what opens the page in a window of some size, and keeps what the page says and asks for."""

    @contextmanager
    def open_page(size=DESK, scheme="light"):
        context = browser.new_context(
            viewport=dict(zip(("width", "height"), size, strict=True)),
            color_scheme=scheme,
            reduced_motion="reduce",  # a page that still scrolls moves away from under a click
            accept_downloads=True,
        )
        page, heard = context.new_page(), SimpleNamespace(errors=[], requests=[])
        page.on("console", lambda message: heard.errors.append(message.text))
        page.on("pageerror", lambda error: heard.errors.append(str(error)))
        page.on("request", lambda request: heard.requests.append(request.url))
        page.goto(address)
        try:
            yield page, heard
        finally:
            context.close()

    return open_page


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_is_quiet_and_fits(opened, address, size):
    with opened(size) as (page, heard):
        page.wait_for_timeout(100)
        assert heard.errors == []
        assert [url for url in heard.requests if url not in (address, "data:,")] == []
        assert page.title() == HOSTILE[0]  # the script in the title stands there and did not run
        assert "\u202e" not in page.inner_text("body")  # which would turn the letters after it
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        widths = page.eval_on_selector_all(".drawing", "all => all.map(e => e.getBoundingClientRect().width)")
        assert len(widths) == 2
        assert all(0.8 * min(size[0], 900) < width < size[0] for width in widths)
        assert page.locator("nav details").evaluate("e => e.open") is (size == DESK)
        assert page.locator("nav li a").count() == page.locator("main h2").count()


def test_nothing_but_the_page_itself_runs(opened):
    with opened() as (page, heard):
        page.evaluate(
            """() => {
              const made = document.createElement("script");
              made.textContent = "document.title = 'hit'";
              document.body.append(made);
              const image = new Image(); image.src = "https://example.org/x.png";
              document.querySelector("h1").setAttribute("style", "color: red");
              return new Promise(done => setTimeout(done, 50));
            }"""
        )
        assert page.title() == HOSTILE[0]
        assert len([text for text in heard.errors if "Content Security Policy" in text]) == 3
    identifiers = re.findall(r'\bid="([^"]+)"', mx.report.html_page(report(12, hostile=True)))
    assert len(identifiers) == len(set(identifiers))


def test_tables_sort_by_click_and_by_keyboard(opened):
    def column(page):
        cells = page.locator("#table-1 tbody td.number:nth-of-type(4)").all_text_contents()
        return [float(text.replace("−", "-")) for text in cells if text != "–"], cells[-1]

    with opened() as (page, _):
        heading = page.locator("#table-1 th", has_text="SMD")
        before = column(page)
        heading.get_by_role("button").click()
        assert (column(page)[0], column(page)[1]) == (sorted(before[0]), "–")
        assert heading.get_attribute("aria-sort") == "ascending"
        page.wait_for_function("document.getElementById('said').textContent === 'Sorted by SMD, ascending'")
        page.keyboard.press("Enter")
        assert (column(page)[0], column(page)[1]) == (sorted(before[0], reverse=True), "–")
        page.keyboard.press("Enter")
        assert column(page) == before
        assert page.locator("#table-1 th[aria-sort=none]").count() == 8


def test_tables_are_saved_and_copied_as_they_are(opened):
    made = report(12, hostile=True)
    with opened() as (page, _):
        with page.expect_download() as download:
            page.locator("#table-1").get_by_text("Save as CSV").click()
        assert download.value.suggested_filename == "effects.csv"
        saved = download.value.path().read_bytes().decode()
        assert saved == BYTE_ORDER_MARK + csv_text(made.tables[0].frame)
        page.evaluate(
            "navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }"
        )
        page.locator("#table-1").get_by_text("Copy for a spreadsheet").click()
        lines = page.evaluate("window.copied").split("\n")
        assert len(lines) == 13
        assert {line.count("\t") for line in lines} == {7}
        assert lines[4].startswith('\'=HYPERLINK("http://example.org"')
        with page.expect_download() as download:
            page.locator("#figure-1").get_by_text("Save as SVG").click()
        assert download.value.path().read_text(encoding="utf-8").startswith("<svg ")


def test_each_number_is_traced_by_keyboard(opened):
    with opened() as (page, heard):
        link = page.locator("#table-1 tbody tr:nth-of-type(3) th a")
        link.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        assert dialog.get_by_role("heading").inner_text() == HOSTILE[2]
        cells = dialog.locator(".cells li").all_inner_texts()
        assert cells[0] == "Data!F4 Exosome mean 12.4"
        assert cells[1] == f"Data!G4 Exosome SD {HOSTILE[2]}"
        assert dialog.locator("ol li").count() == 3
        assert dialog.locator("ol pre").inner_text().split("\n")[1] == "  = <b>y</b>"
        page.keyboard.press("Escape")
        assert dialog.count() == 0
        assert link.evaluate("e => e === document.activeElement")
        page.get_by_role("button", name="Enlarge figure 2").press("Enter")
        assert dialog.locator(".drawing").evaluate("e => e.getBoundingClientRect().width") > 1000
        page.keyboard.press("Escape")
        page.evaluate("location.hash = '#trace-5'")  # as a link from elsewhere would
        page.wait_for_function("document.getElementById('trace-5').open")
        assert heard.errors == []


def test_the_keyboard_reaches_the_answer_first(opened):
    with opened() as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "answer"
        levels = page.eval_on_selector_all("h1, main h2", "all => all.map(e => e.tagName)")
        assert levels[0] == "H1"
        assert set(levels[1:]) == {"H2"}


def test_it_prints_on_a4_and_nothing_is_cut(opened):
    cut = """width => [...document.querySelectorAll("main *")].filter(e => {
      const box = e.getBoundingClientRect();
      const turned = e.closest(".wide");
      return box.width && !e.closest(".unseen") && box.right > (turned ? %d : width) + 1;
    }).map(e => e.outerHTML.slice(0, 80))"""
    with opened((A4_WIDTH, 900)) as (page, _):
        page.emulate_media(media="print")
        assert page.evaluate(cut % A4_TURNED, A4_WIDTH) == []
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("main details:not([open])").count() == 0
        assert page.locator("nav").is_hidden()
        assert page.locator(".traces .cells").first.is_visible()
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("main details:not([open])").count() == 13
        printed = page.pdf(prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    shapes = [tuple(round(float(x) / 72 * 25.4) for x in size) for size in sizes]
    assert set(shapes) == {(210, 297), (297, 210)}
    assert 5 <= len(shapes) <= 12


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light")], ids=["desk", "dark", "phone"]
)
def test_the_rules_of_accessibility_are_kept(opened, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    with opened(size, scheme) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
        found = axe.Axe().run(page).response
        assert [
            (one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]
        ] == []
        assert len(found["passes"]) > 20
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", ground)[0]) > 128) is (scheme == "light")
