"""The page on mixed models of counts, without R."""

from __future__ import annotations

import numpy as np

from benchmarks import count_models
from benchmarks.count_models import Work


def line(failed: int = 0, r: float = 0.1) -> dict:
    work = Work("one arm, logit", "PLO", 7, 2)
    mine = {"each": 1e-3, "alone": 5e-3, "published": 6e-3, "fits": 190, "refused": 10 - failed}
    theirs = {"r": r, "r_published": 0.06, "r_stopped": 1, "r_doubtful": 0, "r_of": 2, "same": "1 of 1"}
    return {"work": work, "failed": failed} | mine | theirs


def page(*lines: dict) -> str:
    return count_models.page(list(lines), {"R": "R 4", "metafor": "3.8.1", "lme4": "1.1"}, 200)


def test_the_page_says_how_fast_and_how_fits_end() -> None:
    text = page(line())
    assert "| one arm, logit (PLO) | 7 | 1.0 | 5.0 | 6.0 | 100 | 60.0 | 100 | 20 | 10 |" in text
    assert "at least 20 times as fast as metafor; there is no failure" in text
    assert "| 190 | 10 | 0 | 1 of 2 | 0 of 2 | 1 of 1 |" in text
    text = page(line(failed=3, r=0.01))
    assert "less than 20 times as fast as metafor: PLO; 3 failures" in text


def test_random_sparse_data_sets_are_fitted_or_refused() -> None:
    sets = count_models.sparse_sets(60)
    assert sum(len(x) for x, _ in sets) == 60
    work = Work("conditional, exact", "CM.EL", 7, 2)
    _, fits = count_models.together(work, sets)
    ended = np.concatenate([fit.certified | fit.infinite | ~np.isfinite(fit.estimate) for fit in fits])
    assert ended.all()
    x, n = next((x, n) for x, n in sets if len(x))
    assert count_models.alone(work, x[0], n[0])[1] in ("", "refused")
