"""The choices of a fit, one name each: other names of the field are understood and replaced."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from metaexo.errors import UnknownChoiceError, nearest_word
from metaexo.numeric.estimators import find_estimator

LIKELIHOODS = ("REML", "ML")
TEST_SYNONYMS = {
    **dict.fromkeys(("knha", "hksj", "hk", "kh", "sj-hk", "hartung-knapp"), "knapp-hartung"),
    "hartung-knapp-sidik-jonkman": "knapp-hartung",
    **dict.fromkeys(("adhoc", "ad-hoc", "knha-adhoc", "mkh", "hartung-knapp-adhoc"), "knapp-hartung-adhoc"),
    "normal": "z",
    **dict.fromkeys(("kr", "kenward"), "kenward-roger"),
    "containment": "t-containment",
}
INTERVAL_SYNONYMS = {
    **dict.fromkeys(("profile", "pl", "lr", "likelihood"), "profile-likelihood"),
    **dict.fromkeys(("qp", "q", "qprofile"), "q-profile"),
    **dict.fromkeys(("generalized-q", "gq", "genq"), "generalised-q"),
    **dict.fromkeys(("higgins", "test-based"), "higgins-thompson"),
    "boot": "bootstrap",
}
ADJUSTMENT_SYNONYMS = {
    **dict.fromkeys(("bh", "fdr", "fdr-bh"), "benjamini-hochberg"),
    **dict.fromkeys(("by", "fdr-by"), "benjamini-yekutieli"),
    "bonf": "bonferroni",
    "simes-hochberg": "hochberg",
}
# What is likely meant by words that are not understood.
MEANT = {"test": {"wald": "z", "t-test": "t", "t test": "t", "ttest": "t", "z-test": "z"}}


def get_adjustment(word: object, allowed: Collection[str]) -> str:
    """Return the one name of an adjustment of p-values or intervals for their number; read as tests are."""
    return _one_name("adjust", word, allowed, ADJUSTMENT_SYNONYMS)


def get_test(word: object, allowed: Collection[str]) -> str:
    """Return the one name of a test, of those a model has; capitals, blanks and underscores do not matter."""
    return _one_name("test", word, allowed, TEST_SYNONYMS)


def get_interval(word: object, allowed: Collection[str]) -> str:
    """Return the one name of a method for intervals of tau2, of those a fit has; read as tests are."""
    return _one_name("interval method", word, allowed, INTERVAL_SYNONYMS)


def _one_name(what: str, word: object, allowed: Collection[str], synonyms: Mapping[str, str]) -> str:
    if isinstance(word, str):
        if word in allowed:
            return str(word)
        plain = re.sub(r"[\s_-]+", "-", word.strip().casefold())
        known = synonyms.get(plain, plain)
        if known in allowed:
            return known
    meant = MEANT.get(what, {}).get(str(word).strip().casefold())
    if meant in allowed:
        raise UnknownChoiceError(what, word, allowed, nearest=meant)
    near = nearest_word(str(word), (*allowed, *(s for s, name in synonyms.items() if name in allowed)))
    raise UnknownChoiceError(what, word, allowed, nearest=synonyms.get(near or "", near))


def get_likelihood(word: object) -> str:
    """Return "REML" or "ML"; capitals, blanks and hyphens do not matter."""
    found = find_estimator(word)
    if found is None or found.code not in LIKELIHOODS:
        raise UnknownChoiceError("method", word, LIKELIHOODS)
    return found.code
