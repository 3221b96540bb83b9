"""Protocols: what they hold, how rows are compared with them, and what stands beside what in the tables."""

from types import SimpleNamespace

import pytest

from recipe.core.entities import DataError, Example
from recipe.corpora import Reading
from recipe.corpora.datasets import CROSS_DOMAIN, IN_DOMAIN, dataset_at
from recipe.evaluate.protocols import Coverage, check, comparison, protocol_names, read_protocol
from recipe.evaluate.published import INSTRUCTUIE, instructuie_types, of_protocol, published

SEVEN = dict.fromkeys(CROSS_DOMAIN, 0.5)
LOST = {"rows": 100, "gold": 250}


def scores(f1, had=100, **source):
    """Scores of 100 sentences of each dataset, of `had` that its split had."""
    counts = {"sentences": 100, "of_sentences": had, "left_out": {}}
    return {"datasets": {name: {**counts, **both(value)} for name, value in f1.items()}, "source": source}


def both(f1, of_split=None):
    return {"published": {"f1": f1}, "of_split": {"published": {"f1": f1 if of_split is None else of_split}}}


def rows_of(**types):
    return [SimpleNamespace(dataset=name, example=Example("x", labels)) for name, labels in types.items()]


def complete(coverage):
    """True for exactly the protocol's datasets, under its names as far as they are known."""
    return not (coverage.missing or coverage.extra or coverage.relabelled)


def cells(text, title):
    """The figures of the first line that begins so, as they are printed."""
    line = next(line for line in text.splitlines() if line.startswith(title))
    return line.removeprefix(title).split()


# --------------------------------------------------------------------------------------------------------- protocols


def test_the_named_protocols_are_there():
    assert {
        "zero_shot_7", "crossner_5", "zero_shot_20", "supervised_20", "cross_lingual_multiconer22", "ablation",
        "low_resource_conll03_1", "low_resource_conll03_5", "low_resource_conll03_10",
    } <= set(protocol_names())  # fmt: skip


def test_datasets_and_averages_are_the_papers():
    seven, five = read_protocol("zero_shot_7"), read_protocol("crossner_5")
    assert seven.datasets == CROSS_DOMAIN
    assert seven.averages == {"seven sets": CROSS_DOMAIN, "CrossNER-5": five.datasets}
    assert read_protocol("supervised_20").datasets == read_protocol("zero_shot_20").datasets == IN_DOMAIN
    assert read_protocol("supervised_20").train.datasets == IN_DOMAIN
    lingual = read_protocol("cross_lingual_multiconer22")
    assert (len(lingual.datasets), lingual.train.datasets) == (11, ("multiconer22_en",))
    assert len(lingual.averages["9 unseen languages"]) == 9
    assert "multiconer22_en" not in lingual.averages["9 unseen languages"]


@pytest.mark.parametrize("percent", [1, 5, 10])
def test_a_low_resource_protocol_says_its_share(percent):
    protocol = read_protocol(f"low_resource_conll03_{percent}")
    assert (protocol.name, protocol.train.share) == (f"low_resource_conll03_{percent}", percent / 100)
    assert protocol.title == f"low resource, {percent} % of CoNLL 2003"


def test_a_file_of_several_protocols_is_none_by_its_own_name():
    assert "low_resource_conll03" not in protocol_names()
    with pytest.raises(DataError, match=r"; there are .* low_resource_conll03_1, low_resource_conll03_10, "):
        read_protocol("low_resource_conll03")


def test_an_unknown_protocol_is_an_error_that_names_those_there_are():
    with pytest.raises(DataError, match="zero_shot_8: no such protocol; there are ablation, "):
        read_protocol("zero_shot_8")


GOOD = (
    "{title: t, source: s, labels: l, drop_else: true, split: test, datasets: [a], averages: {all: all}, "
    "train: {datasets: [a], share: 0.5}}"
)


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "5", GOOD.replace("labels: l, ", ""), GOOD.replace("title", "titel"), GOOD.replace("share", "shere"),
        GOOD.replace("share: 0.5", "percent: [a]"), GOOD.replace("share: 0.5", "percent: 5"),
        GOOD.replace("all: all", "all: [b]"), GOOD.replace("split: test", "split: tests"), GOOD.replace("[a]", "5"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_protocol_is_an_error_in_one_line(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(GOOD)
    assert read_protocol("mine", tmp_path).averages == {"all": ("a",)}
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DataError, match=r"mine.yaml: [^\n]*$"):
        read_protocol("mine", tmp_path)


# ----------------------------------------------------------------------------------------------------------- figures


def test_every_published_figure_belongs_to_a_protocol_and_its_datasets():
    for row in published():
        protocol = read_protocol(row.protocol)
        assert set(row.figures) <= set(protocol.datasets)
        assert row.figures or row.average is not None


@pytest.mark.parametrize(
    "row", [row for row in published() if row.figures], ids=lambda row: f"{row.protocol} {row.system}"
)
def test_a_published_average_is_the_mean_of_the_published_figures(row):
    assert abs(sum(row.figures.values()) / len(row.figures) - row.average) < 0.1


def test_the_known_type_names_are_those_of_the_datasets(ner_data):
    for name, types in instructuie_types().items():
        dataset = dataset_at(ner_data / name)
        assert dataset.layout.types(dataset, Reading()) == types


def test_the_figure_on_other_names_is_under_other_labels():
    (quoted,) = (row for row in of_protocol("zero_shot_7") if row.average == 77.3)
    assert quoted.labels != INSTRUCTUIE


# ------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_compared_with_the_protocols_datasets():
    coverage = check(
        read_protocol("zero_shot_7"), rows_of(**{"mit-movie": instructuie_types()["mit-movie"], "mine": ("a",)})
    )
    assert coverage.present == ("mit-movie",)
    assert coverage.missing == CROSS_DOMAIN[1:]
    assert coverage.extra == ("mine",)
    assert not complete(coverage)
    assert any("mine" in note for note in coverage.notes)


def test_all_datasets_under_their_names_are_complete_with_or_without_residual_types():
    rows = rows_of(**{name: (*instructuie_types()[name], "else") for name in CROSS_DOMAIN})
    coverage = check(read_protocol("zero_shot_7"), rows)
    assert complete(coverage)
    assert coverage.notes == ()


def test_types_under_other_names_are_told_and_unknown_ones_too():
    coverage = check(read_protocol("supervised_20"), rows_of(bc5cdr=("chemical", "illness"), ncbi=("disease",)))
    assert (coverage.relabelled, coverage.unchecked) == (("bc5cdr",), ("ncbi",))


# ------------------------------------------------------------------------------------------------------- comparison


def test_our_figures_stand_beside_the_published_ones_and_the_averages_as_printed():
    text = comparison(read_protocol("zero_shot_7"), scores(SEVEN | {"mit-movie": 0.7}))
    assert "GLiNER-L  GNER-T5-xxl  Qwen3-8B prompted  ReasoningNER-1.7B  ReasoningNER-8B" in text
    assert cells(text, "mit-movie") == ["70.00", "57.2", "62.5", "70.1", "70.2", "76.3"]
    assert cells(text, "seven sets") == ["52.86", "60.9", "69.1", "65.4", "65.1", "72.4"]
    assert cells(text, "CrossNER-5")[0] == "50.00"
    assert "partial" not in text


def test_an_average_over_a_part_is_marked_and_beside_means_over_the_same_part():
    text = comparison(read_protocol("zero_shot_7"), scores({"mit-movie": 0.7, "CrossNER_AI": 0.6}))
    assert cells(text, "seven sets, partial (2 of 7)") == ["65.00", "57.2", "65.3", "65.7", "66.9", "73.7"]
    assert cells(text, "seven sets, all 7, published") == ["-", "60.9", "69.1", "65.4", "65.1", "72.4"]
    assert cells(text, "CrossNER-5, partial (1 of 5)")[:2] == ["60.00", "57.2"]
    ours = text.split("label names: ")[1]
    averages = [line for line in ours.splitlines() if line.startswith(("seven sets", "CrossNER-5"))]
    assert all("partial (" in line or ", published " in line for line in averages)


def test_scores_of_the_first_rows_alone_are_partial():
    text = comparison(read_protocol("zero_shot_7"), scores(SEVEN, limit=50))
    assert cells(text, "seven sets, partial (first 50 rows of a dataset)")[0] == "50.00"
    assert cells(text, "seven sets, all 7, published")[0] == "-"


def test_averages_say_where_it_is_not_known_what_was_left_out():
    text = comparison(read_protocol("zero_shot_7"), scores(SEVEN, had=None))
    assert cells(text, "seven sets (sentences left out: not known)")[:2] == ["50.00", "60.9"]
    assert cells(text, "mit-movie (100 of ? sentences)")[:2] == ["50.00", "57.2"]
    assert "mit-movie, mit-restaurant, CrossNER_AI, CrossNER_literature" in text
    assert "sentences that preparation left out are not known" in text


def test_what_was_left_out_counts_as_missed_in_the_averages_too():
    ours = scores(SEVEN)
    ours["datasets"]["mit-movie"] |= both(0.9, 0.2) | {"of_sentences": 200, "left_out": {"too_long": LOST}}
    text = comparison(read_protocol("zero_shot_7"), ours)
    assert cells(text, "mit-movie (100 of 200 sentences)")[:3] == ["20.00", "90.00", "57.2"]
    assert cells(text, "seven sets")[:3] == [f"{(20 + 6 * 50) / 7:.2f}", f"{(90 + 6 * 50) / 7:.2f}", "60.9"]
    assert "mit-movie: 100 of 200 sentences; left out: too_long 100; gold left out: 250 entities" in text
    assert "partial" not in text


def test_an_average_without_gold_that_nobody_could_count_is_partial():
    """A record that could not be read may have held any number of entities: they can't be counted as missed."""
    ours = scores(SEVEN)
    ours["datasets"]["mit-movie"] |= {"of_sentences": 101, "left_out": {"bad_entity": {"rows": 1, "gold": None}}}
    ours["datasets"]["mit-movie"]["of_split"] = None
    text = comparison(read_protocol("zero_shot_7"), ours)
    assert cells(text, "seven sets, partial (100 of 101 sentences of mit-movie)")[0] == "50.00"
    assert cells(text, "seven sets, all 7, published")[:2] == ["-", "60.9"]
    assert "and what bad_entity had, which is not known" in text


def test_figures_on_other_label_names_never_share_a_table_with_ours():
    ours, *others = comparison(read_protocol("zero_shot_7"), scores(SEVEN)).split("label names: ")[1:]
    assert ours.startswith(INSTRUCTUIE)
    assert "77.3" not in ours
    (table,) = (other for other in others if "77.3" in other)
    assert "not comparable with ours" in table
    assert "50.00" not in "".join(others)


@pytest.mark.parametrize(
    ("coverage", "source"),
    [(Coverage(relabelled=("mit-movie",)), {}), (Coverage(), {"drop_else": False})],
    ids=["other names", "residual types kept"],
)
def test_ours_stand_alone_where_our_labels_are_others(coverage, source):
    ours, *others = comparison(read_protocol("zero_shot_7"), scores(SEVEN, **source), coverage).split("label names: ")[
        1:
    ]
    assert "ours" in ours
    assert "GLiNER" not in ours
    assert any("GLiNER" in other and "not comparable" in other for other in others)


def test_five_of_seven_are_a_protocol_with_the_figures_of_the_seven():
    text = comparison(read_protocol("crossner_5"), scores(SEVEN))
    assert "mit-movie" not in text
    assert cells(text, "CrossNER-5") == ["50.00", "65.3", "74.0", "66.1", "66.6", "74.7"]
    assert "72.4" not in text


def test_one_dataset_has_no_average():
    text = comparison(read_protocol("low_resource_conll03_5"), scores({"CoNLL 2003": 0.9}))
    assert text.count("CoNLL 2003  ") == 1
    assert cells(text, "CoNLL 2003") == ["90.00", "91.0"]


def test_averages_without_figures_by_dataset_are_said_to_be_of_all():
    text = comparison(read_protocol("ablation"), scores({"mit-movie": 0.7}))
    assert "published averages of all 7, nothing by dataset: 1.7B base 31.9; " in text


@pytest.mark.parametrize("bad", [{}, {"datasets": {"mit-movie": {}}}, {"datasets": []}, scores({"mine": 0.5})])
def test_scores_of_something_else_are_an_error_in_one_line(bad):
    with pytest.raises(DataError, match=r"^[^\n]*$"):
        comparison(read_protocol("zero_shot_7"), bad)
