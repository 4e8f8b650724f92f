"""Risk of bias: the tools, the table of judgements, the checks, the counts, and the join to effects."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import (
    DuplicateStudyError,
    InputError,
    MissingCellError,
    MissingColumnError,
    OverallJudgementWarning,
    UnknownChoiceError,
)
from metaexo.evidence import bias_tool, bias_tools, read_risk_of_bias
from metaexo.evidence.risk_of_bias.tool import judgements

DOMAINS = ["D1", "D2", "D3", "D4", "D5"]
TABLE = pd.DataFrame(
    [
        ["Li 2020", "low", "low", "low", "some concerns", "low", "some concerns"],
        ["Cho 2021", "high", "Low risk", "LOW", "low", "some_concerns", "High"],
        ["Kim 2022", "low", "low", "low", "low", "low", "low"],
    ],
    columns=["study", *DOMAINS, "overall"],
)
OWN = {
    "name": "Vesicles",
    "domains": ["Purity of the preparation", {"key": "dose", "short": "Dose"}],
    "judgements": ["low", {"word": "doubtful", "sign": "d", "color": "#123456"}, "high"],
}


@pytest.mark.parametrize(
    ("name", "domains", "types", "words", "doi"),
    [
        ("RoB 2", 5, 0, ["low", "some concerns", "high"], "10.1136/bmj.l4898"),
        (
            "ROBINS-I",
            7,
            0,
            ["low", "moderate", "serious", "critical", "no information"],
            "10.1136/bmj.i4919",
        ),
        ("SYRCLE", 10, 6, ["low", "unclear", "high"], "10.1186/1471-2288-14-43"),
    ],
)
def test_the_tools_are_as_published(name, domains, types, words, doi):
    tool = bias_tool(name)
    assert (len(tool.domains), list(tool.words), tool.doi) == (domains, words, doi)
    assert len({domain.type for domain in tool.domains} - {""}) == types
    frame = tool.to_frame()
    assert frame["key"].is_unique
    assert frame["short"].is_unique
    assert (frame["short"].str.len() <= frame["name"].str.len().clip(lower=40)).all()
    assert bias_tools().set_index("name").loc[name, "domains"] == domains


@pytest.mark.parametrize("written", ["rob2", "RoB-2", "ROB 2", "robins i", "ROBINS_I", "Syrcle"])
def test_a_tool_is_found_however_it_is_written(written):
    assert bias_tool(written).name in ("RoB 2", "ROBINS-I", "SYRCLE")


def test_an_unknown_tool_names_the_nearest():
    with pytest.raises(UnknownChoiceError) as caught:
        bias_tool("ROBINS-E")
    assert caught.value.nearest == "ROBINS-I"


@pytest.mark.parametrize("name", ["RoB 2", "ROBINS-I", "SYRCLE"])
def test_within_a_tool_no_two_judgements_look_alike(name):
    shown = bias_tool(name).judgements
    for code in ("sign", "color", "hatch"):
        assert len({getattr(one, code) for one in shown}) == len(shown)


def test_every_shared_judgement_has_all_its_codes():
    for word, one in judgements().items():
        assert re.fullmatch("#[0-9A-F]{6}", one.color)
        assert one.label.casefold() == word
        assert bool(one.sign) == (word != "not assessed")


def test_a_table_is_read_and_counted():
    record = read_risk_of_bias(TABLE)
    assert record.studies == ("Li 2020", "Cho 2021", "Kim 2022")
    assert record.keys == (
        "randomization",
        "deviations",
        "missing_data",
        "measurement",
        "selection",
        "overall",
    )
    assert record.judged[1] == ("high", "low", "low", "low", "some concerns", "high")
    counts = record.counts()
    assert counts.loc["randomization"].tolist() == [2, 0, 1]
    assert counts.loc["measurement"].tolist() == [2, 1, 0]
    assert counts.loc["overall"].tolist() == [1, 1, 1]
    assert counts.sum(axis=1).tolist() == [3] * 6
    assert counts.to_numpy().dtype.kind == "i"


@pytest.mark.parametrize(
    "weights",
    [
        [0.5, 3.0, 1.5],
        {"Kim 2022": 1.5, "Li 2020": 0.5, "Cho 2021": 3.0, "Wu": 9.0},
        pd.Series([3.0, 1.5, 0.5], index=["Cho 2021", "Kim 2022", "Li 2020"]),
    ],
)
def test_counts_are_weighted(weights):
    counts = read_risk_of_bias(TABLE).counts(weights)
    assert counts.loc["randomization"].tolist() == [2.0, 0.0, 3.0]
    assert counts.loc["selection"].tolist() == [2.0, 3.0, 0.0]
    assert np.allclose(counts.sum(axis=1), 5.0, rtol=1e-15)


@pytest.mark.parametrize(
    "weights",
    [[1, 2], [1, -1, 1], [0, 0, 0], [1, None, 1], [1, np.inf, 1], ["a", 1, 2], {"Li 2020": 1}, "weights", 3],
)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InputError):
        read_risk_of_bias(TABLE).counts(weights)


def test_names_of_columns_as_people_write_them():
    short = [domain.short for domain in bias_tool("RoB 2").domains]
    full = [domain.name.upper() for domain in bias_tool("RoB 2").domains]
    keys = list(bias_tool("RoB 2").keys)
    wanted = read_risk_of_bias(TABLE).judged
    for names in (short, full, keys, [str(i) for i in range(1, 6)]):
        table = TABLE.set_axis(["study", *names, "Overall"], axis=1)
        assert read_risk_of_bias(table).judged == wanted
    renamed = TABLE.rename(columns={"D3": "attrition", "study": "trial"})
    read = read_risk_of_bias(renamed, study="trial", columns={"missing_data": "attrition"})
    assert read.judged == wanted


def test_capitals_of_columns_do_not_count():
    upper = TABLE.rename(columns=str.upper)
    assert read_risk_of_bias(upper).judged == read_risk_of_bias(TABLE).judged
    long = TABLE.melt("study", var_name="Domain", value_name="Judgement")
    assert read_risk_of_bias(long).counts().equals(read_risk_of_bias(TABLE).counts())
    with pytest.raises(UnknownChoiceError) as caught:
        read_risk_of_bias(TABLE.rename(columns={"study": "studies"}))
    assert caught.value.nearest == "studies"


def test_other_columns_are_no_domains():
    table = TABLE.assign(weight=1, note="high", year=[2020, 2021, 2022])
    assert read_risk_of_bias(table).judged == read_risk_of_bias(TABLE).judged


def test_without_an_overall_column_there_is_none():
    record = read_risk_of_bias(TABLE.drop(columns="overall"))
    assert "overall" not in record.keys
    assert "overall" not in record.counts().index


def test_a_long_table_says_the_same():
    long = TABLE.melt("study", var_name="domain", value_name="judgement").sample(frac=1, random_state=1)
    read = read_risk_of_bias(long).select(list(TABLE["study"]))
    assert read == read_risk_of_bias(TABLE)
    with pytest.raises(DuplicateStudyError, match="judged twice"):
        read_risk_of_bias(pd.concat([long, long.iloc[:1]]))
    with pytest.raises(MissingCellError) as caught:
        read_risk_of_bias(long.iloc[1:])
    assert len(caught.value.rows) == 1
    with pytest.raises(UnknownChoiceError, match="Randomization process"):
        read_risk_of_bias(long.replace({"domain": {"D1": "randomisation proces"}}))


def test_a_file_is_read_with_the_lines_of_its_errors(tmp_path):
    path = tmp_path / "judged.csv"
    TABLE.to_csv(path, index=False)
    assert read_risk_of_bias(path) == read_risk_of_bias(str(path)) == read_risk_of_bias(TABLE)
    TABLE.replace({"D4": {"some concerns": "some conserns"}}).to_csv(path, index=False)
    with pytest.raises(UnknownChoiceError) as caught:
        read_risk_of_bias(path)
    assert caught.value.nearest == "some concerns"
    assert caught.value.rows == ("line 2 (Li 2020), D4",)
    for text in (b"\xff\xfe\x00", b"", b'a,"b\n'):
        path.write_bytes(text)
        with pytest.raises(InputError):
            read_risk_of_bias(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_risk_of_bias(tmp_path / "nowhere.csv")


def test_an_unknown_word_names_all_its_rows():
    table = TABLE.replace("low", "loww")
    with pytest.raises(UnknownChoiceError) as caught:
        read_risk_of_bias(table)
    assert caught.value.nearest == "low"
    assert len(caught.value.rows) == int((table == "loww").to_numpy().sum())
    assert "row 1 (Li 2020), D1" in caught.value.rows


def test_a_judgement_of_another_tool_is_unknown():
    with pytest.raises(UnknownChoiceError, match="judgement of RoB 2"):
        read_risk_of_bias(TABLE.replace("high", "serious").replace("High", "serious"))


def test_a_sign_that_may_mean_missing_is_no_judgement():
    for sign in ("-", "?", "+", "n"):
        with pytest.raises(UnknownChoiceError):
            read_risk_of_bias(TABLE.replace("high", sign))


def test_a_missing_domain_names_the_nearest_column():
    with pytest.raises(MissingColumnError) as caught:
        read_risk_of_bias(TABLE.rename(columns={"D3": "Mising outcome data"}))
    assert caught.value.rows == ("Missing outcome data (nearest: 'Mising outcome data')",)


def test_two_columns_of_one_domain_are_refused():
    with pytest.raises(InputError, match="are all 'randomization'"):
        read_risk_of_bias(TABLE.assign(randomization="low"))
    chosen = read_risk_of_bias(TABLE.assign(randomization="low"), columns={"randomization": "D1"})
    assert chosen.judged == read_risk_of_bias(TABLE).judged


def test_blank_cells_and_studies_are_refused():
    with pytest.raises(MissingCellError) as caught:
        read_risk_of_bias(TABLE.replace("some concerns", None))
    assert caught.value.rows == ("row 1 (Li 2020), D4", "row 1 (Li 2020), overall")
    with pytest.raises(MissingCellError) as caught:
        read_risk_of_bias(TABLE.replace("Kim 2022", " "))
    assert caught.value.rows == ("row 3",)


def test_a_study_with_two_rows_is_refused():
    with pytest.raises(DuplicateStudyError) as caught:
        read_risk_of_bias(pd.concat([TABLE, TABLE.iloc[:1]], ignore_index=True))
    assert caught.value.rows == ("row 1 (Li 2020)", "row 4 (Li 2020)")


def test_what_nobody_judged_is_counted_apart():
    record = read_risk_of_bias(TABLE.replace("some concerns", "not assessed"))
    assert record.counts().loc["measurement"].to_dict() == {
        "low": 2,
        "some concerns": 0,
        "high": 0,
        "not assessed": 1,
    }


def test_an_overall_judgement_better_than_a_domain_is_said():
    with pytest.warns(OverallJudgementWarning, match="Cho 2021: low, worst domain high"):
        record = read_risk_of_bias(TABLE.replace("High", "low"))
    assert record.judged[1][-1] == "low"
    # Several "some concerns" may make a result of high risk, and SYRCLE has no rule.
    read_risk_of_bias(TABLE.replace("High", "high").replace("some concerns", "high"))
    animals = {domain.short: ["yes", "no"] for domain in bias_tool("SYRCLE").domains}
    table = pd.DataFrame({"study": ["a", "b"], **animals, "overall": ["low", "low"]})
    assert read_risk_of_bias(table, "SYRCLE").counts().loc["baseline"].tolist() == [1, 0, 1]


def test_no_information_is_no_degree_of_risk():
    tool = bias_tool("ROBINS-I")
    table = pd.DataFrame({"study": ["a"], **{key: ["NI"] for key in tool.keys}, "overall": ["low"]})
    assert set(read_risk_of_bias(table, tool).judged[0]) == {"no information", "low"}


def test_a_record_is_read_again_from_its_table():
    record = read_risk_of_bias(TABLE)
    assert read_risk_of_bias(record.to_frame()) == record
    assert pickle.loads(pickle.dumps(record)) == record


def test_some_studies_are_selected():
    record = read_risk_of_bias(TABLE).select(["Kim 2022", "Li 2020", "Kim 2022"])
    assert record.studies == ("Kim 2022", "Li 2020")
    assert record.judged[0] == ("low",) * 6
    with pytest.raises(UnknownChoiceError) as caught:
        record.select(["Cho 2021"])
    assert caught.value.what == "study with judgements"


def test_judgements_are_joined_to_effects_by_study():
    es = mx.EffectSizes([0.1, 0.2, 0.3], [0.1] * 3, study=["Cho 2021", "Li 2020", "Cho 2021"])
    joined = read_risk_of_bias(TABLE).join(es)
    assert joined.column("rob_randomization").tolist() == ["high", "low", "high"]
    assert joined.column("rob_overall").tolist() == ["high", "some concerns", "high"]
    assert joined.y.tolist() == es.y.tolist()
    assert read_risk_of_bias(TABLE).join(es, prefix="x_").column("x_selection").tolist()[1] == "low"
    other = mx.EffectSizes([0.1, 0.2], [0.1] * 2, study=["Cho 2021", "Lee 2020"])
    with pytest.raises(InputError) as caught:
        read_risk_of_bias(TABLE).join(other)
    assert caught.value.rows == ("Lee 2020 (nearest: 'Li 2020')",)


def test_a_tool_of_ones_own(tmp_path):
    tool = bias_tool(OWN)
    assert tool.keys == ("purity_of_the_preparation", "dose")
    assert [one.sign for one in tool.judgements] == ["+", "d", "−"]
    assert tool.judgements[1].label == "Doubtful"
    table = pd.DataFrame({"study": ["a"], "Dose": ["doubtful"], "Purity of the preparation": ["high"]})
    assert read_risk_of_bias(table, OWN).judged == (("high", "doubtful"),)
    path = tmp_path / "tool.json"
    path.write_text(json.dumps(tool.to_dict()), encoding="utf-8")
    assert bias_tool(path) == bias_tool(str(path)) == tool
    assert bias_tool(bias_tool("RoB 2").to_dict()) == bias_tool("RoB 2")


def test_new_judgements_do_not_look_alike():
    words = ["low", "fair", "poor", "bad", {"word": "wrong", "color": "#0072B2"}, "high"]
    made = bias_tool({**OWN, "judgements": words}).judgements
    for code in ("sign", "color", "hatch"):
        assert len({getattr(one, code) for one in made}) == len(made)
    assert made[4].color == "#0072B2"
    assert made[0] == bias_tool("RoB 2").judgements[0]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": 3},
        {"domains": []},
        {"domains": "Purity"},
        {"domains": ["Purity", "purity"]},
        {"domains": ["Overall"]},
        {"domains": [""]},
        {"domains": [3]},
        {"domains": [{"key": "a", "nmae": "b"}]},
        {"judgements": ["low", "Low"]},
        {"judgements": ["unclear", "some concerns"]},  # one sign for both
        {"judgements": [{"word": "low", "color": "green"}]},
        {"judgements": [{"word": "low", "hatch": "z"}]},
        {"judgements": [{"word": "low", "sign": "low"}]},
        {"judgements": [{"word": "low", "ranked": "yes"}]},
        {"judgements": [{"word": "low", "written": 3}]},
        {"written": {"fine": "good"}},
        {"written": ["fine"]},
        {"overall_is_worst": 1},
        {"domain": ["Purity"]},
    ],
)
def test_a_tool_that_is_not_whole_is_refused(change, tmp_path):
    with pytest.raises(InputError):
        bias_tool({**OWN, **change})


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "\x00"])
def test_a_file_that_is_no_tool_is_refused(text, tmp_path):
    path = tmp_path / "tool.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        bias_tool(path)
