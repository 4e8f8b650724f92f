"""The report as a Word document: real headings, tables and captions, as a journal takes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from metaexo.errors import InputError
from metaexo.formatting import legible
from metaexo.report.content import SHORT, Listing, Report, ReportFigure, ReportTable, Words
from metaexo.report.drawings import Drawings
from metaexo.report.workbook import WHEN, same_archive

if TYPE_CHECKING:
    from docx.document import Document as Document
    from docx.text.paragraph import Paragraph

FONT = "Times New Roman"
# Lengths in twentieths of a point: A4, 2.5 cm around it.
PAGE, MARGIN = (11906, 16838), 1417
# Of a letter in a table, and of what is left of and right of a text in its cell.
LETTER, PADDING = 86, 130
MOST_HIGH = 22.0  # centimetres of a figure, so that its caption is on the same page
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def write_docx(report: Report, path: str | Path) -> Path:
    """Write a report as a Word document on A4.

    Use it for a manuscript or a supplement. The answer comes first; tables are tables with captions and a
    header row that repeats on each page; figures are pictures of 300 dpi with an alternative text.

    Parameters
    ----------
    report : Report
        What the document says.
    path : str or Path
        The file, ending in ``.docx``.

    Returns
    -------
    Path
        The file; the same report gives the same bytes.

    Raises
    ------
    InputError
        If it is no report, the name of the file has another ending, or it cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".docx":
        raise InputError(
            f"the path {str(path)!r}"[:200],
            "a file that ends in .docx",
            f"write {target.stem or 'report'}.docx",
        )
    with Drawings.of(report) as drawings:
        content = document_with(report, drawings)
    try:
        target.write_bytes(content)
    except OSError as problem:
        raise InputError(
            f"{target} cannot be written: {problem.strerror or problem}",
            "a file that may be written, in a folder that is there",
            "close it in Word if it is open there, or choose another name",
        ) from problem
    return target


def document_with(report: Report, drawings: Drawings) -> bytes:
    """Return the document of a report whose figures are drawn for other forms as well."""
    kept = io.BytesIO()
    _Writer(report, drawings).document.save(kept)
    return same_archive(kept.getvalue())


class _Writer:
    """Writes one report into one document, block after block."""

    def __init__(self, report: Report, drawings: Drawings) -> None:
        from docx import Document

        self.document = Document()
        self.drawings = drawings
        self.tables = self.figures = 0
        self.turned = False
        _use_styles(self.document)
        self._describe(report)
        self._say(report.title, "Title")
        self._say(report.source, "Subtitle")
        self._say("Answer", "Heading 1")
        for i, sentence in enumerate(report.answer):
            self._say(sentence, "Answer" if i == 0 else "Body Text")
        for part in report.sections:
            first = part.blocks[0] if part.blocks else None
            self._turn(wide=isinstance(first, ReportTable) and _is_wide(first))
            self._say(part.title, "Heading 1")
            for block in part.blocks:
                self._write(block)
        self._turn(wide=False)
        self._end(report)

    def _describe(self, report: Report) -> None:
        core = self.document.core_properties
        core.author = core.last_modified_by = "metaexo"
        core.title, core.comments, core.language = legible(report.title)[:255], "", "en-GB"
        core.created = core.modified = WHEN
        core.revision = 1

    def _say(self, text: str, style: str = "Body Text") -> Paragraph:
        return self.document.add_paragraph(legible(text), style=style)

    def _write(self, block: object) -> None:
        if isinstance(block, ReportTable):
            self._table(block)
            return
        self._turn(wide=False)
        if isinstance(block, Words):
            styles = {"answer": "Answer", "caution": "Caution", "formula": "Formula"}
            self._say(block.text, styles.get(block.role, "Body Text"))
        elif isinstance(block, Listing):
            self._list(block)
        elif isinstance(block, ReportFigure):
            self._figure(block)

    def _list(self, block: Listing) -> None:
        number = self._new_numbers() if block.ordered else None
        for item in block.items:
            words = self._say(item, "List Number" if block.ordered else "List Bullet")
            if number is not None:
                properties = words._p.get_or_add_pPr().get_or_add_numPr()
                properties.get_or_add_ilvl().val = 0
                properties.get_or_add_numId().val = number

    def _new_numbers(self) -> int:
        """Return the identifier of a numbering that begins with 1, as that of an earlier list goes on."""
        numbering = self.document.part.numbering_part.element
        style = self.document.styles["List Number"].element.pPr.numPr.numId.val
        kind = numbering.num_having_numId(style).abstractNumId.val
        made = numbering.add_num(kind)
        made.add_lvlOverride(ilvl=0).add_startOverride(1)
        return int(made.numId)

    def _figure(self, block: ReportFigure) -> None:
        from docx.shared import Cm, Emu

        self.figures += 1
        for path in self.drawings.files(block, "png"):
            place = self._say("", "Figure")
            picture = place.add_run().add_picture(str(path))
            room = Emu((PAGE[0] - 2 * MARGIN) * 635)
            share = min(1.0, room / picture.width, Cm(MOST_HIGH) / picture.height)
            picture.width, picture.height = Emu(int(picture.width * share)), Emu(int(picture.height * share))
            properties = picture._inline.docPr
            properties.set("descr", legible(block.alternative))
            properties.set("title", legible(block.title))
        self._caption("Figure", self.figures, block.title)
        for note in block.notes:
            self._say(note, "Note")

    def _caption(self, kind: str, number: int, title: str) -> Paragraph:
        """Write a caption whose number Word counts itself, so that it can list tables and figures."""
        from docx.oxml import parse_xml

        caption = self._say("", "Caption")
        caption.add_run(f"{kind} ")
        shown = f"<w:r><w:t>{number}</w:t></w:r>"
        field = f'<w:fldSimple {_W} w:instr=" SEQ {kind} \\* ARABIC ">{shown}</w:fldSimple>'
        caption._p.append(parse_xml(field))
        caption.add_run(". ")
        caption.add_run(legible(title)).bold = False
        return caption

    def _table(self, block: ReportTable) -> None:
        from docx.oxml import parse_xml

        self.tables += 1
        block = block.seen
        columns = block.columns
        self._turn(wide=_is_wide(block))
        self._caption("Table", self.tables, block.title).paragraph_format.keep_with_next = True
        texts = [block.texts(name) for name in columns]
        headings = [legible(block.headings[name]) for name in columns]
        right = [block.is_number(name) for name in columns]
        room = (PAGE[1] if self.turned else PAGE[0]) - 2 * MARGIN
        widths = _widths([block.letters(name) for name in columns], texts, room)
        cells = list(zip(*texts, strict=True))
        # each row of a short table, but for the last, stands on one page with the next
        rows = [_row(headings, right, widths, head=True, with_next=True)]
        rows += [
            _row(row, right, widths, with_next=len(cells) <= SHORT and i < len(cells) - 1)
            for i, row in enumerate(cells)
        ]
        grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in widths)
        edges = "".join(f'<w:{side} w:val="single" w:sz="8" w:space="0"/>' for side in ("top", "bottom"))
        self._append(
            parse_xml(
                f'<w:tbl {_W}><w:tblPr><w:tblW w:w="{sum(widths)}" w:type="dxa"/>'
                f'<w:tblBorders>{edges}</w:tblBorders><w:tblLayout w:type="fixed"/>'
                f'<w:tblCellMar><w:left w:w="70" w:type="dxa"/>'
                f'<w:right w:w="40" w:type="dxa"/></w:tblCellMar>'
                f'<w:tblLook w:val="0020" w:firstRow="1"/></w:tblPr>'
                f"<w:tblGrid>{grid}</w:tblGrid>{''.join(rows)}</w:tbl>"
            )
        )
        for note in block.notes or ("",):  # a table is followed by a paragraph, or the next one would join it
            self._say(note, "Note")

    def _append(self, element: Any) -> None:
        self.document.element.body.insert_element_before(element, "w:sectPr")

    def _turn(self, *, wide: bool) -> None:
        """Begin a page that is turned on its side, or one that is not, if the last was the other way."""
        from docx.enum.section import WD_ORIENT, WD_SECTION

        if wide is self.turned:
            return
        self.turned = wide
        section = self.document.add_section(WD_SECTION.NEW_PAGE)
        section.orientation = WD_ORIENT.LANDSCAPE if wide else WD_ORIENT.PORTRAIT
        section.page_width, section.page_height = section.page_height, section.page_width

    def _end(self, report: Report) -> None:
        if not report.facts:
            return
        self._say("Versions and settings", "Heading 1")
        self._say("The script analysis.py makes the same numbers; report.html shows how each came about.")
        for name, said in report.facts.items():
            line = self._say("", "Body Text")
            line.paragraph_format.space_after = 0
            line.add_run(f"{legible(name)}: ").bold = True
            line.add_run(legible(said))


def _is_wide(table: ReportTable) -> bool:
    """Return whether a table needs a page that is turned on its side."""
    return sum(LETTER * table.letters(name) + PADDING for name in table.columns) > 1.1 * (
        PAGE[0] - 2 * MARGIN
    )


def _widths(letters: list[int], texts: list[list[str]], room: int) -> list[int]:
    """Return widths of columns that fill a page, by the longest word and text of each, within limits."""
    needed: list[float] = []
    liked: list[float] = []
    for least, cells in zip(letters, texts, strict=True):
        longest = max((len(text) for text in cells), default=1)
        needed.append(float(LETTER * max(6, least) + PADDING))
        liked.append(LETTER * min(max(least, longest), 40) + PADDING)
    if sum(needed) >= room:  # the wider columns give what is too much, as far as they can
        spare = [max(0, one - 8 * LETTER - PADDING) for one in needed]
        taken = min(1.0, (sum(needed) - room) / max(1, sum(spare)))
        needed = [one - taken * more for one, more in zip(needed, spare, strict=True)]
        return [int(room * one / sum(needed)) for one in needed]
    share = min(1.0, (room - sum(needed)) / max(1, sum(liked) - sum(needed)))
    widths = [least + share * (most - least) for least, most in zip(needed, liked, strict=True)]
    return [int(room * one / sum(widths)) for one in widths]


def _row(cells: Any, right: list[bool], widths: list[int], *, with_next: bool, head: bool = False) -> str:
    """Return a row of a table; the first repeats on each page, and none is cut between two pages."""
    edge = '<w:tcBorders><w:bottom w:val="single" w:sz="4" w:space="0"/></w:tcBorders>' if head else ""
    look = "<w:rPr><w:b/></w:rPr>" if head else ""
    parts = [
        f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/>{edge}</w:tcPr>'
        f'<w:p><w:pPr><w:pStyle w:val="TableText"/>{"<w:keepNext/>" if with_next else ""}'
        f'<w:jc w:val="{"right" if number else "left"}"/></w:pPr>'
        f'<w:r>{look}<w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p></w:tc>'
        for text, number, width in zip(cells, right, widths, strict=True)
    ]
    return f"<w:tr><w:trPr><w:cantSplit/>{'<w:tblHeader/>' if head else ''}</w:trPr>{''.join(parts)}</w:tr>"


def _use_styles(document: Document) -> None:
    """Set page, fonts and paragraphs: black on A4, one family of letters, numbers of pages below."""
    from docx.enum.style import WD_STYLE_TYPE
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import parse_xml
    from docx.oxml.ns import qn
    from docx.shared import Pt, RGBColor, Twips

    section = document.sections[0]
    section.page_width, section.page_height = (Twips(size) for size in PAGE)
    for side in ("left", "right", "top", "bottom"):
        setattr(section, f"{side}_margin", Twips(MARGIN))
    styles = document.styles
    for name, base in (("Answer", "Body Text"), ("Caution", "Body Text"), ("Formula", "Body Text"),
                       ("Figure", "Normal"), ("Note", "Normal"), ("Table Text", "Normal")):  # fmt: skip
        styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH).base_style = styles[base]
    # size, space before, space after, bold
    looks: dict[str, tuple[float, float, float, bool]] = {
        "Normal": (11, 0, 0, False),
        "Body Text": (11, 0, 6, False),
        "Title": (16, 0, 4, True),
        "Subtitle": (10, 0, 10, False),
        "Heading 1": (13, 16, 5, True),
        "Answer": (12.5, 0, 6, True),
        "Caption": (10, 8, 4, True),
        "Note": (9, 2, 6, False),
        "Table Text": (8, 1, 1, False),
        "List Bullet": (11, 0, 3, False),
        "List Number": (11, 0, 3, False),
    }
    for name, (size, before, after, bold) in looks.items():
        style = styles[name]
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for key in list(fonts.attrib):
            del fonts.attrib[key]
        for kind in ("ascii", "hAnsi", "cs", "eastAsia"):
            fonts.set(qn(f"w:{kind}"), FONT)
        style.font.size, style.font.bold, style.font.italic = Pt(size), bold, False
        style.font.color.rgb = RGBColor(0, 0, 0)
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(before), Pt(after)
        style.paragraph_format.line_spacing = 1.0 if size < 11 else 1.15
    for edge in styles["Title"].element.pPr.findall(qn("w:pBdr")):
        styles["Title"].element.pPr.remove(edge)
    styles["Formula"].font.italic = True
    styles["Caution"].paragraph_format.left_indent = Twips(280)
    styles["Figure"].paragraph_format.keep_with_next = True
    styles["Figure"].paragraph_format.space_before = Pt(8)
    for language in styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), "en-GB")
    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.CENTER
    footer._p.append(parse_xml(f'<w:fldSimple {_W} w:instr=" PAGE "><w:r><w:t>1</w:t></w:r></w:fldSimple>'))
