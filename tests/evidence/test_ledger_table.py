"""The table of a ledger: every row once, counts that add up."""

from __future__ import annotations

import pandas as pd
import pytest

from metaexo.errors import InputError
from metaexo.evidence.descriptions.rows import count_reasons, ledger_table
from metaexo.ledger import Ledger

SHEET = pd.DataFrame({"line": [2, 3, 4, 5], "domain": ["clinical", "clinical", "preclinical", None]})
LEDGER = (
    Ledger("outcomes.csv", (2, 3, 4, 5))
    .leave_out({4: "not selected: domain == 'clinical'"}, "selection")
    .leave_out({3: "no SD"}, "effect")
)


def test_every_row_has_one_fate_in_words():
    table = ledger_table(LEDGER, SHEET, {4: "animals", 3: "never read: the effect step has its own reason"})
    assert table["step"].tolist() == ["used", "effect", "selection", "used"]
    assert table["reason"].tolist() == ["", "no SD", "animals", ""]


def test_the_counts_add_up_with_missing_values_too():
    counted = count_reasons(ledger_table(LEDGER, SHEET), ["domain"])
    assert counted["rows"].sum() == len(SHEET)
    assert counted["step"].tolist() == ["used", "effect", "selection", "used"]


def test_another_sheet_is_refused():
    with pytest.raises(InputError, match="3"):
        ledger_table(LEDGER, SHEET.iloc[:3])
