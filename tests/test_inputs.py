"""The door: what users hand in is read as numbers or words, or refused with the rows named."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, ShapeError
from metaexo.immutable import frozen
from metaexo.inputs import as_word, check_aligned, check_level, is_blank, read_numbers, read_words

MISSING = [None, np.nan, pd.NA, pd.NaT, np.ma.masked, "", "  "]


@pytest.mark.parametrize("blank", MISSING, ids=repr)
def test_what_is_missing_becomes_nan_and_is_blank(blank):
    assert is_blank(blank)
    np.testing.assert_array_equal(read_numbers([1.5, blank, "2"], "x"), [1.5, np.nan, 2.0])


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1.0, 99.0, 3.0], mask=[0, 1, 0]),
        pd.array([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="Float64"),
        pd.Series([Decimal(1), None, 3], dtype=object),
        [np.ma.array([1.0])[0], np.ma.masked, 3],
        (x for x in (1, None, 3)),
        pd.Series(["1", pd.NA, "3"], dtype="string"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_masked_and_nullable_values_are_missing(values):
    np.testing.assert_array_equal(read_numbers(values, "x"), [1, np.nan, 3])


@pytest.mark.parametrize(
    "bad",
    [
        1 + 2j, "5,1", "n/a", "1_000", datetime.date(2020, 1, 1), np.datetime64("2020-01-01"),
        pd.Timestamp("2020"),        pd.Timedelta(days=1), b"1", object(), [1],
    ],
    ids=lambda bad: type(bad).__name__,
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_row(bad):
    with pytest.raises(InputError, match="row 2"):
        read_numbers(pd.Series([1.0, bad, 2.0], dtype=object), "x")


@pytest.mark.parametrize(
    "values",
    [np.array([1j]), np.array(["2020-01-01"], dtype="M8[D]"), pd.Series(pd.to_datetime(["2020-01-01"])),
     "ab", None, {"a": 1}, {1, 2}, print, [[1, 2], [3]], [10**400]],
    ids=lambda values: type(values).__name__,
)  # fmt: skip
def test_whole_objects_of_another_kind_are_refused(values):
    with pytest.raises(InputError):
        read_numbers(values, "x")


def test_all_bad_cells_are_named_at_once():
    with pytest.raises(InputError) as error:
        read_numbers(["5,1", "6", "-", "n/a"], "mean")
    assert all(word in str(error.value) for word in ("mean", "'5,1'", "'-'", "'n/a'", "row 1", "row 4"))


def test_numbers_are_copied():
    given = np.array([1.0, 2.0])
    read = read_numbers(given, "x")
    given[0] = 9
    assert read[0] == 1
    assert not frozen(read).flags.writeable
    table = pd.DataFrame({"a": [1.0, 2.0]})
    read_numbers(table, "x")[0] = 9
    assert table.loc[0, "a"] == 1


def test_dimensions():
    assert read_numbers(3, "x", ndim=1).shape == (1,)
    with pytest.raises(ShapeError, match="one-dimensional"):
        read_numbers([[1, 2]], "x", ndim=1)


def test_words():
    assert read_words(pd.Series([2010.0, 2012.5]), "year") == ("2010", "2012.5")
    assert as_word(np.float64(7)) == "7"
    for blank in MISSING:
        with pytest.raises(InputError, match=r"row 2.*fill down"):
            read_words(["Ito", blank], "study")
    with pytest.raises(ShapeError, match="1 entry for 2 rows"):
        read_words(["a"], "study", 2)


@pytest.mark.parametrize(
    "text", ["study", b"ab", 5, None, {"a": 1}, pd.DataFrame({"a": ["x"]}), [["a"]]], ids=repr
)
def test_a_single_text_is_never_read_letter_by_letter(text):
    with pytest.raises(InputError):
        read_words(text, "labels")


@pytest.mark.parametrize(
    "level", [95, 0, 1, -0.5, float("nan"), "0.95", None, True, [0.95], np.array([0.9, 0.95])], ids=repr
)
def test_levels(level):
    with pytest.raises(InputError, match="level is"):
        check_level(level)
    assert check_level(np.float32(0.5)) == 0.5


@pytest.mark.parametrize(
    ("alpha", "level"), [(0.1, "0.9"), (0.05, "0.95"), (0.0125, "0.9875"), (0.49, "0.51")]
)
def test_an_alpha_is_no_level_of_an_interval(alpha, level):
    with pytest.raises(
        InputError, match=re.escape(f"write level={level}: the interval with alpha = {alpha}")
    ):
        check_level(alpha)
    assert check_level(alpha, "significance") == alpha


def test_a_level_in_per_cent_is_told_the_fraction():
    with pytest.raises(InputError, match=r"write 0\.95"):
        check_level(95)


def test_other_indexes_are_refused():
    a, b = pd.Series([1, 2, 3]), pd.Series([1, 2, 3], index=[2, 1, 0])
    check_aligned(y=a, v=a * 2, w=[1, 2], u=None)
    with pytest.raises(InputError, match=r"v\.to_numpy\(\)"):
        check_aligned(y=a, v=b)
    with pytest.raises(ShapeError):
        check_aligned(y=a, v=b.iloc[:2])
