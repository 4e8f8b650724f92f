"""What is said of a reading: what was read as what, how cells were written, and what was not read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from metaexo.evidence.reading import letters
from metaexo.evidence.tables.headings import Layout
from metaexo.evidence.tables.values import shown
from metaexo.formatting import plural

MOST_NAMED = 12
"""Things of one kind that a note names."""
WAYS = {
    "decimal comma": "decimal commas were read in {cells} of {columns}",
    "thousands": "signs between thousands were taken out of {cells} of {columns}",
    "percent": "percent signs were taken off {cells} of {columns}: 50 % is read as 50, in per cent",
    "percent, decimal comma": "percent signs were taken off {cells} of {columns} with decimal commas: "
    "50,5 % is read as 50.5, in per cent",
    "n =": '"n = 10" was read as 10 in {cells} of {columns}',
    "powers of ten": "powers of ten were read in {cells} of {columns}",
    "events / n": '"12/20" was read as events of n in {cells} of {columns}',
    "count with its percentage": '"12 (60 %)" was read as the count alone in {cells} of {columns}',
    "p with =": "{cells} of p-values without a relation {was} read as exact (p_relation is =)",
}
"""How cells may be written, and what is said of them."""


@dataclass(slots=True)
class Remarks:
    """What is noticed while the rows of a table are read."""

    written: dict[str, Counter[str]] = field(default_factory=dict)  # way of writing -> cells by heading
    emptied: Counter[str] = field(default_factory=Counter)  # words that were read as empty cells
    # column, words of the cell, and the word that they were read as
    renamed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)  # rows that were not read, in sentences

    def wrote(self, how: str, heading: str) -> None:
        """Count a cell that was written in some way."""
        self.written.setdefault(how, Counter())[heading] += 1

    def said(self, layout: Layout) -> list[str]:
        """Return what was read as what, in sentences."""
        notes = [*dict.fromkeys(layout.notes), *_of_columns(layout), *self.unread]
        notes += [_way(how, where) for how, where in self.written.items()]
        if self.emptied:
            words = ", ".join(f"{word!r} ({n})" for word, n in self.emptied.most_common(MOST_NAMED))
            notes.append(f"read as empty cells: {words}")
        for (column, cell, word), n in list(self.renamed.items())[:MOST_NAMED]:
            notes.append(f"{shown(cell)} was read as {word!r} in {column} ({plural(n, 'cell')})")
        if len(self.renamed) > MOST_NAMED:
            notes.append(
                f"{len(self.renamed) - MOST_NAMED} more words were read as words of the vocabularies"
            )
        return notes


def _of_columns(layout: Layout) -> list[str]:
    """Return what every column was read as, and which were not used."""
    notes = []
    for column in layout.mapped:
        if not column.columns or column.columns == (column.heading,):
            continue
        joint = " and " if column.both else ", "
        words = f"column {letters(column.at)} {column.heading!r} was read as {joint.join(column.columns)}"
        notes.append(words + (", the only group there is" if column.note else ""))
    same = [column.heading for column in layout.mapped if column.columns == (column.heading,)]
    if same:
        have = "has its" if len(same) == 1 else "have their"
        notes.append(f"{plural(len(same), 'column')} {have} name of the codebook: {', '.join(same)}")
    own = [f"{letters(one.at)} {one.heading!r}" for one in layout.mapped if not one.columns and one.heading]
    if own:
        more = f" and {len(own) - MOST_NAMED} more" if len(own) > MOST_NAMED else ""
        notes.append(
            f"{plural(len(own), 'column')} kept as your own and not used: {', '.join(own[:MOST_NAMED])}{more}"
        )
    return notes


def _way(how: str, where: Counter[str]) -> str:
    """Return how some cells were written."""
    number = sum(where.values())
    was, bound = ("was", "a bound") if number == 1 else ("were", "bounds")
    relation = how.removeprefix("p with ")
    words = f"{{cells}} of p-values {{was}} read as {bound} (p_relation is {relation})"
    words = WAYS.get(how, words if relation != how else f"{how}: {{cells}} of {{columns}}")
    columns = ", ".join(repr(name) for name in where)
    return (
        words.replace("{cells}", plural(number, "cell")).replace("{was}", was).replace("{columns}", columns)
    )
