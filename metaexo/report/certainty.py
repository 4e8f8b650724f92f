"""How far a result can be relied on, in the four words of GRADE, by rules that are written down here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metaexo.errors import InputError
from metaexo.formatting import percent
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_flag, check_number, describe, read_numbers, whole_number
from metaexo.readable import shows_itself

WORDS = ("very low", "low", "moderate", "high")
# Design -> where it starts among WORDS, and what it is called.
DESIGNS = {
    "observational": (1, "observational comparison"),
    "not reported": (1, "how groups were allocated is not reported"),
    "within laboratory": (3, "comparison within a laboratory"),
    "randomised": (3, "randomised comparison"),
}
FEW = 10
CONSIDERABLE_I2 = 0.75


@shows_itself
@dataclass(frozen=True, eq=False)
class Certainty(Immutable):
    """The certainty of a result; ``str()`` gives the word.

    Attributes
    ----------
    word : {"high", "moderate", "low", "very low"}
        The certainty.
    reasons : tuple of str
        The design that it starts from, and what lowered or raised it, in words.
    """

    word: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return self.word

    def in_words(self) -> str:
        """Return the word with its reasons: "low (observational comparison)"."""
        return f"{self.word} ({'; '.join(self.reasons)})"


def certainty(
    *,
    design: str,
    m: int,
    decides: bool,
    units: str = "laboratories",
    holds_without_doubtful: bool = True,
    i2: float | None = None,
    prediction: Sequence[float] | None = None,
    null: float = 0.0,
    indirect: str = "",
    risk_of_bias: str = "",
    small_study_effects: bool = False,
    large_effect: bool = False,
) -> Certainty:
    """Rate the certainty of a result by the rules of GRADE.

    Use it for the word that stands beside an answer, so that the same evidence gets the same word everywhere.
    Experiments start at high: people or animals randomised, or one material treated in several ways in one
    laboratory. Comparisons between laboratories or studies are observational and start at low, and so do
    comparisons within studies that do not say how the groups were allocated. One step down for each of

    - a high risk of bias;
    - few independent units: fewer than 10; two steps if there is only one;
    - an interval or a test that does not decide the question;
    - a result that changes if doubtful rows are left out;
    - inconsistency: I2 above 75 per cent; or, where the interval or the test decides, a prediction interval
      that includes the null (where it does not decide, such an interval adds nothing);
    - indirectness;
    - signs of small-study effects.

    One step up for a large effect, but only if nothing lowered the certainty (so the effect is decided and
    holds without doubtful rows), and the design is observational.

    Parameters
    ----------
    design : {"observational", "not reported", "within laboratory", "randomised"}
        How the groups that are compared came about.
    m : int
        Number of independent units, for example laboratories.
    decides : bool
        Whether the interval or the test decides the question. A test that finds no difference does not,
        unless its interval excludes differences that matter.
    units : str
        What the units are, plural.
    holds_without_doubtful : bool
        Whether the result is the same without doubtful rows, and in the other sensitivity analyses.
    i2 : float, optional
        I2, a fraction.
    prediction : sequence of float, shape (2,), optional
        Ends of the prediction interval.
    null : float
        Value of no effect on the scale of `prediction`.
    indirect : str
        In what the evidence differs from the question, in words; empty if in nothing.
    risk_of_bias : str
        Why the risk of bias is high, in words; empty if it is not, or was not judged.
    small_study_effects : bool
        Whether tests or funnel show signs of them.
    large_effect : bool
        Whether the effect is large: a ratio above 2 or below 0.5, a standardised difference above 0.8, or the
        like, at the end of its interval that is nearer to no effect.

    Returns
    -------
    Certainty
        The word and its reasons.

    Raises
    ------
    UnknownChoiceError
        If the design is not known.
    InputError
        If an argument cannot be used.

    References
    ----------
    Guyatt, G. H., Oxman, A. D., Vist, G. E., Kunz, R., Falck-Ytter, Y., Alonso-Coello, P., Schunemann, H. J.
    (2008). GRADE: an emerging consensus on rating quality of evidence and strength of recommendations. BMJ
    336, 924-926. https://doi.org/10.1136/bmj.39489.470347.AD

    Examples
    --------
    >>> found = certainty(design="observational", m=6, decides=False)
    >>> str(found)
    'very low'
    >>> found.in_words()
    'very low (observational comparison; few laboratories (6); the interval or test does not decide)'
    >>> str(certainty(design="randomised", m=24, units="trials", decides=True, i2=0.4))
    'high'
    """
    check_choice("design", design, tuple(DESIGNS))
    m = whole_number(m, "m", 1)
    units, indirect = _text("units", units), _text("indirect", indirect, empty=True)
    start, name = DESIGNS[design]
    risk_of_bias = _text("risk_of_bias", risk_of_bias, empty=True)
    down = [*([risk_of_bias] if risk_of_bias else []), *_of_few(m, units)]
    down += [] if check_flag("decides", decides) else ["the interval or test does not decide"]
    if not check_flag("holds_without_doubtful", holds_without_doubtful):
        down.append("the result changes without doubtful rows")
    down += _of_inconsistency(i2, prediction, check_number("null", null), decides)
    down += [f"indirectness: {indirect}"] if indirect else []
    if check_flag("small_study_effects", small_study_effects):
        down.append("signs of small-study effects")
    large = check_flag("large_effect", large_effect)
    up = ["raised for a large effect"] if large and not down and design == "observational" else []
    step = start - len(down) - (m == 1) + len(up)
    return Certainty(WORDS[max(step, 0)], (name, *down, *up))


def _of_few(m: int, units: str) -> list[str]:
    return [f"few {units} ({m})"] if m < FEW else []


def _of_inconsistency(
    i2: float | None, prediction: Sequence[float] | None, null: float, decides: bool
) -> list[str]:
    """Return one reason at most: what heterogeneity says against the result."""
    reasons = []
    if i2 is not None:
        i2 = check_number("i2", i2)
        if not 0 <= i2 <= 1:
            raise InputError(f"i2 is {i2:g}", "a fraction between 0 and 1", "write 0.75 for 75 per cent")
        reasons += [f"inconsistency (I² = {percent(i2)})"] if i2 > CONSIDERABLE_I2 else []
    if prediction is not None:
        ends = read_numbers(prediction, "prediction")
        if ends.shape != (2,) or not ends[0] <= ends[1]:
            raise InputError("prediction is no interval", "two numbers, the lower one first")
        if decides and ends[0] <= null <= ends[1]:
            reasons.append("inconsistency (the prediction interval includes no effect)")
    return reasons[:1]


def _text(name: str, value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (empty or value.strip()):
        raise InputError(f"{name} is {describe(value)}", "words")
    return value.strip()
