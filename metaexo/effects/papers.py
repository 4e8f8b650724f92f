"""Papers that several functions rest on, each written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_CHAPTER = "Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter"
_DOI = "doi:10.1002/9781119536604.ch6."

HANDBOOK_SD = f"{_CHAPTER} 6.5.2,\n{_DOI}"
HANDBOOK_TESTS = f"{_CHAPTER} 6.5.2.3,\n{_DOI}"
HANDBOOK_CHANGES = f"{_CHAPTER} 6.5.2.8,\n{_DOI}"
ALTMAN_BLAND = "Altman & Bland (2011), BMJ 343, d2090, doi:10.1136/bmj.d2090."
BONETT = "Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99."
BORENSTEIN = """\
Borenstein (2009), in Cooper, Hedges & Valentine, The Handbook of Research Synthesis and Meta-Analysis,
2nd ed., 221-235, doi:10.7758/9781610441384."""
COHEN_ANOVA = "Cohen (2002), Understanding Statistics 1, 191-203, doi:10.1207/S15328031US0103_04."
COHEN_POWER = """\
Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd ed., doi:10.4324/9780203771587."""
DAVID_JOHNSON = "David & Johnson (1954), Biometrika 41, 228-240, doi:10.1093/biomet/41.1-2.228."
DI_PIETRANTONJ = "Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287."
FREEMAN_TUKEY = """\
Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756."""
HEDGES_1981 = "Hedges (1981), Journal of Educational Statistics 6, 107-128, doi:10.3102/10769986006002107."
HOZO = """\
Hozo, Djulbegovic & Hozo (2005), BMC Medical Research Methodology 5, 13, doi:10.1186/1471-2288-5-13."""
JACOBS = "Jacobs & Viechtbauer (2017), Research Synthesis Methods 8, 161-180, doi:10.1002/jrsm.1218."
KIRK = "Kirk (1973), Psychometrika 38, 259-268, doi:10.1007/BF02291118."
LAKENS = "Lakens (2013), Frontiers in Psychology 4, 863, doi:10.3389/fpsyg.2013.00863."
LUO = """\
Luo, Wan, Liu & Tong (2018), Statistical Methods in Medical Research 27, 1785-1805,
doi:10.1177/0962280216669183."""
MCGRATH = """\
McGrath, Zhao, Steele et al. (2020), Statistical Methods in Medical Research 29, 2520-2537,
doi:10.1177/0962280219889080."""
MCGRAW_WONG = "McGraw & Wong (1992), Psychological Bulletin 111, 361-365, doi:10.1037/0033-2909.111.2.361."
MILLER = "Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283."
NUIJTEN = """\
Nuijten, Hartgerink, van Assen, Epskamp & Wicherts (2016), Behavior Research Methods 48, 1205-1226,
doi:10.3758/s13428-015-0664-2."""
OEHLERT = "Oehlert (1992), The American Statistician 46, 27-29, doi:10.1080/00031305.1992.10475842."
PEARSON = """\
Pearson (1900), Philosophical Transactions of the Royal Society A 195, 1-47, doi:10.1098/rsta.1900.0022."""
ROSENTHAL = """\
Rosenthal & DiMatteo (2001), Annual Review of Psychology 52, 59-82, doi:10.1146/annurev.psych.52.1.59."""
SANCHEZ_MECA = """\
Sánchez-Meca, Marín-Martínez & Chacón-Moscoso (2003), Psychological Methods 8, 448-467,
doi:10.1037/1082-989X.8.4.448."""
SHI_NORMAL = "Shi, Luo, Weng et al. (2020), Research Synthesis Methods 11, 641-654, doi:10.1002/jrsm.1429."
SHI_SKEWNESS = """\
Shi, Tong, Wang & Genton (2020), Statistics and Its Interface 13, 519-531,
doi:10.4310/SII.2020.v13.n4.a9."""
WAN = """\
Wan, Wang, Liu & Tong (2014), BMC Medical Research Methodology 14, 135, doi:10.1186/1471-2288-14-135."""
YANG = """\
Yang, Hutson & Wang (2022), Statistics in Biopharmaceutical Research 14, 1-11,
doi:10.1080/19466315.2020.1736142."""


def rests_on(*papers: str) -> Callable[[F], F]:
    """Give the docstring of a function its References: the papers that it rests on."""
    section = "\n".join(["References", "----------", *papers])

    def of(function: F) -> F:
        head, examples, rest = (inspect.getdoc(function) or "").partition("\n\nExamples\n--------\n")
        function.__doc__ = f"{head}\n\n{section}{examples}{rest}"
        return function

    return of
