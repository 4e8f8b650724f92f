"""How much each kind of evidence contributes to a fit of censored effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.errors import InputError, MetaexoError
from metaexo.immutable import lock
from metaexo.models.censored.effects import KINDS
from metaexo.models.linear.design import Design
from metaexo.numeric.censored.inference import CensoredInference, tau2_information_of_rows
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.censored.fit import CensoredResults

WITHOUT = "left out to see what the others say without it"


class EvidenceDiagnostics:
    """The part of CensoredResults that weighs its evidence."""

    effects: BoundedEffectSizes
    design: Design
    batch: CensoredBatch
    inference: CensoredInference
    method: str

    @property
    def information_shares(self) -> Array:
        """Share of each effect in the information on the coefficients, shape (k,); they add up to 1.

        -l_i'' x_i' J^-1 x_i / p with J the information; without moderators these are the weights of the mean.
        """
        fit = self.inference.fit
        shares = -fit.terms.second * fit.row_leverage(self.batch) * self.batch.n
        return lock(np.asarray(shares[0] / self.design.p))

    @property
    def weights(self) -> Array | None:
        """Weights of the effects in the pooled mean, shape (k,); None with moderators."""
        return self.information_shares if self.design.x is None else None

    @property
    def expected_effects(self) -> Array:
        """What each observed effect is expected to be, given its interval and the fit, shape (k,).

        The mean of the truncated normal distribution; the effect itself where it is exact. It is a result of
        the model and no datum.
        """
        fit = self.inference.fit
        eta = self.design.matrix(self.effects.k) @ self.inference.beta[0]
        variance = self.batch.v[0] + float(fit.tau2[0])
        return lock(
            np.asarray(
                np.where(self.batch.censored[0], eta + variance * fit.terms.first[0], self.effects.lower)
            )
        )

    def rows(self) -> pd.DataFrame:
        """Return the effects one by one: what is known of each, and what that is worth.

        Returns
        -------
        DataFrame
            Columns row, label, study, kind, lower, upper; `retained`, the share of its complete information
            that an effect retains (1 if it is exact); `share`, its share of the information on the
            coefficients; `expected`, what the observed effect is expected to be.
        """
        import pandas as pd

        fit = cast("CensoredResults", self)
        es = self.effects
        return pd.DataFrame(
            {
                "row": es.row_ids,
                "label": es.labels,
                "study": es.study,
                "kind": fit.kinds,
                "lower": es.lower,
                "upper": es.upper,
                "retained": self.inference.retained[0],
                "share": self.information_shares,
                "expected": self.expected_effects,
            }
        )

    def contributions(self) -> pd.DataFrame:
        """Return what each kind of evidence contributes, one row a kind.

        Use it to see whether a result rests on numbers or on thresholds.

        Returns
        -------
        DataFrame
            Indexed by kind. `k`; `effective`, how many exact effects they are worth; `share`, part of the
            information on the coefficients; `tau2_share`, part of the information on tau2 (negative where a
            kind makes tau2 less certain); `tau2_pull`, part of the score of tau2 times tau2 (times the
            smallest sampling variance at tau2 = 0): positive for a kind that asks for a larger one, and over
            all kinds 0 at an inner solution.
        """
        import pandas as pd

        fit = cast("CensoredResults", self)
        restricted = self.method == "REML"
        unit = fit.tau2 if fit.tau2 > 0 else float(self.batch.v.min())
        about = tau2_information_of_rows(self.batch, self.inference.fit, restricted)[0]
        columns = {
            "k": self.batch.n[0],
            "effective": self.inference.retained[0],
            "share": self.information_shares,
            "tau2_share": about / about.sum(),
            "tau2_pull": unit * self.inference.fit.row_scores(self.batch, restricted)[0],
        }
        table = pd.DataFrame(columns).groupby(np.array(fit.kinds)).sum()
        table["k"] = table["k"].astype(int)
        return table.reindex([kind for kind in KINDS if kind in table.index]).rename_axis("kind")

    def without(self, kind: str) -> CensoredResults:
        """Return the fit without one kind of evidence, all other choices the same.

        Parameters
        ----------
        kind : str
            "exact", "interval, two ends", "interval, one end" or "direction".

        Raises
        ------
        InputError
            If there is no effect of this kind.
        NotIdentifiableError
            If what remains has no estimate; it says why.
        """
        from metaexo.models.censored.model import CensoredRandomEffects

        fit = cast("CensoredResults", self)
        keep = np.array([type(kind) is not str or one != kind for one in fit.kinds])
        if keep.all():
            raise InputError(
                f"no effect is of the kind {kind!r}", f"one of {', '.join(sorted(set(fit.kinds)))}"
            )
        rest = self.effects.select(keep, f"{kind}: {WITHOUT}")
        x = self.design.x
        model = CensoredRandomEffects(
            rest,
            None if x is None else x[keep],
            intercept=x is None,
            names=None if x is None else self.design.names,
            dependence="accept",
        )
        return model.fit(fit.method, fit.test, fit.level, fit.tau2 if fit.tau2_given else None)

    def leave_kind_out(self) -> pd.DataFrame:
        """Return the estimates without each kind of evidence in turn, and with all of it first.

        Returns
        -------
        DataFrame
            Indexed by what was left out ("nothing" first). `k`, `effective`, `tau2`, the coefficients with
            `low` and `high`, one column each, and `note`: why there is no number, where there is none.
        """
        import pandas as pd

        fit = cast("CensoredResults", self)
        rows = {"nothing": _numbers(fit)}
        for kind in dict.fromkeys(one for one in KINDS if one in fit.kinds):
            try:
                rows[kind] = _numbers(self.without(kind))
            except MetaexoError as error:
                rows[kind] = {"note": error.given}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("left_out").fillna({"note": ""})


def _numbers(fit: CensoredResults) -> dict[str, float | str]:
    """Return the numbers of a fit as one row of a table."""
    found: dict[str, float | str] = {"k": fit.k, "effective": fit.effective, "tau2": fit.tau2}
    for name, value, (low, high) in zip(fit.design.names, fit.beta, fit.conf_int().to_numpy(), strict=True):
        single = fit.design.x is None
        found["estimate" if single else name] = float(value)
        found["low" if single else f"{name}_low"] = float(low)
        found["high" if single else f"{name}_high"] = float(high)
    return found | {"note": ""}
