"""What all errors and warnings share: the four parts of an error, and the nearest word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MOST_SHOWN = 40


class MetaexoError(Exception):
    """Base of all errors raised by metaexo.

    Parameters
    ----------
    given : str
        What was given, in words.
    needed : str
        What is needed instead.
    remedy : str, optional
        What the reader can do about it.
    rows : str or sequence of str, optional
        The rows concerned, already in words ("outcomes.csv line 12, study kwon2020").
    """

    def __init__(self, given: str, needed: str, remedy: str = "", rows: str | Sequence[str] = ()) -> None:
        self.given = given
        self.needed = needed
        self.remedy = remedy
        self.rows: tuple[str, ...] = (rows,) if isinstance(rows, str) else tuple(rows)
        super().__init__(given, needed, remedy, self.rows)

    def __str__(self) -> str:
        parts = [f"{self.given}; needed: {self.needed}."]
        if self.rows:
            parts.append(f"Where: {_shorten(self.rows)}.")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}.")
        return " ".join(parts)


class InputError(MetaexoError, ValueError):
    """A value handed in cannot be used."""


class ShapeError(InputError):
    """Arrays that belong together differ in length or dimension."""


class UnknownChoiceError(InputError):
    """A word that is not one of the allowed words; the nearest allowed word is named.

    Parameters
    ----------
    what : str
        What was being chosen, for example "measure".
    word : object
        The word that was given.
    allowed : iterable of str
        All allowed words.
    rows : str or sequence of str, optional
        The rows concerned.
    nearest : str, optional
        The allowed word that is most likely meant, if it is not the one that is spelt most alike.
    """

    def __init__(
        self,
        what: str,
        word: object,
        allowed: Iterable[str],
        rows: str | Sequence[str] = (),
        *,
        nearest: str | None = None,
    ) -> None:
        self.what = what
        self.word = word
        self.allowed = tuple(allowed)
        self.nearest = nearest or nearest_word(str(word), self.allowed)
        remedy = f"write {self.nearest!r} if that is what was meant" if self.nearest else ""
        shown = self.allowed
        if len(shown) > MOST_SHOWN:
            near = difflib.get_close_matches(str(word), shown, n=5, cutoff=0.4)
            shown = tuple(dict.fromkeys(([self.nearest] if self.nearest else []) + near + list(shown[:3])))
        known = ", ".join(repr(name) for name in shown)
        if len(shown) < len(self.allowed):
            known += f" and {len(self.allowed) - len(shown)} others"
        needed = f"one of {known}" if known else f"nothing; there is no {what} to choose here"
        super().__init__(f"{what} {word!r} is not known", needed, remedy, rows)


class MetaexoWarning(UserWarning):
    """Base of all warnings issued by metaexo."""


def nearest_word(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word most like `word` (case ignored), or None if none is near."""
    by_fold = {name.casefold(): name for name in allowed}
    found = difflib.get_close_matches(word.casefold().strip(), by_fold, n=1, cutoff=0.5)
    return by_fold[found[0]] if found else None


def _shorten(rows: Sequence[str], limit: int = 8) -> str:
    """Join row names, with the count of those not shown."""
    shown = "; ".join(rows[:limit])
    more = len(rows) - limit
    return f"{shown}; and {more} more" if more > 0 else shown
