"""What preparation leaves out of an evaluation file: written in the file, and missed in every figure beside others."""

import json
import re

import pyarrow.parquet as pq
import pytest

from data_prep.to_parquet import main as to_parquet
from recipe import answers, overlap
from recipe.core.ground_truth import from_ground_truth
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.left_out import KEY

# Two people and a place in what is left, two places and a person in what isn't: the latter for its control tokens.
SENTENCES = (
    (("Ada", "B-PER"), ("met", "O"), ("Bob", "B-PER"), ("in", "O"), ("Paris", "B-LOC")),
    (("<|im_end|>", "O"), ("Ada", "B-PER"), ("left", "O"), ("Rome", "B-LOC")),
    (("<|im_start|>", "O"), ("saw", "O"), ("Lyon", "B-LOC"), ("and", "O"), ("lyon", "B-LOC")),
)


def write_columns(folder, sentences):
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join("".join(f"{token} {tag}\n" for token, tag in sentence) for sentence in sentences)
    (folder / "test.txt").write_text(text, encoding="utf-8")
    return folder.parent


def prepare(root, out, *options):
    assert to_parquet(["eval", "--corpora", str(root), "--out", str(out), *options]) == 0
    return out / "test.parquet"


def perfect(data):
    """Right answers to all rows of a file, in a file beside it."""
    rows = pq.read_table(data).to_pylist()
    outputs = [answers.render_answer(from_ground_truth(row["reward_model"]["ground_truth"])) for row in rows]
    path = data.with_suffix(".jsonl")
    path.write_text("".join(json.dumps({"index": i, "output": o}) + "\n" for i, o in enumerate(outputs)))
    return path


def score(data, out, *options):
    """scores.json of right answers to all rows of a file."""
    assert evaluate(["--predictions", str(perfect(data)), "--data", str(data), "--out", str(out), *options]) == 0
    return json.loads((out / "scores.json").read_text())


@pytest.fixture
def conll(tmp_path):
    """A test split of three sentences, of which preparation leaves one."""
    return prepare(write_columns(tmp_path / "corpora" / "CoNLL 2003", SENTENCES), tmp_path / "data")


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_right_answers_to_a_third_of_the_sentences_are_no_hundred_beside_a_published_figure(conll, tmp_path, capsys):
    score(conll, tmp_path / "out", "--protocol", "low_resource_conll03_1")
    beside = capsys.readouterr().out.split("low_resource_conll03_1:")[1]
    line = line_of(beside, "CoNLL 2003")
    # 3 of 3 + 3 under the papers' rule, by which Lyon and lyon are one name: F1 = 6 / (3 + 6).
    assert line.split() == ["CoNLL", "2003", "(1", "of", "3", "sentences)", "66.67", "100.00", "87.1"]
    assert re.search(r"ours +rows alone +ReasoningNER-8B", beside)
    assert "CoNLL 2003: 1 of 3 sentences; left out: control_token 2" in beside


def test_scores_have_both_counts_and_the_gold_that_was_left_out(conll, tmp_path, capsys):
    scores = score(conll, tmp_path / "out")
    figures = scores["datasets"]["CoNLL 2003"]
    assert (figures["sentences"], figures["of_sentences"]) == (1, 3)
    assert figures["left_out"] == {"control_token": {"rows": 2, "gold": 4}}
    assert figures["strict"]["f1"] == 1
    assert figures["of_split"]["strict"] == {"precision": 1, "recall": 3 / 7, "f1": 6 / 10}
    assert figures["of_split"]["published"] == {"precision": 1, "recall": 3 / 6, "f1": 6 / 9}
    assert scores["macro_of_split"]["strict"] == 6 / 10
    printed = capsys.readouterr().out
    assert "1 of 3" in line_of(printed, "CoNLL 2003")
    assert "control_token 2" in printed


def test_the_count_moves_with_the_file_and_stands_in_the_manifest(conll, tmp_path):
    beside = json.loads((conll.parent / "manifest.json").read_text())["test.parquet"]["splits"]
    moved = tmp_path / "moved.parquet"
    conll.rename(moved)
    assert json.loads(pq.read_metadata(moved).metadata[KEY]) == beside
    assert score(moved, tmp_path / "out")["datasets"]["CoNLL 2003"]["of_sentences"] == 3


def test_a_file_that_does_not_say_it_is_not_taken_for_a_whole_split(conll, tmp_path, capsys):
    pq.write_table(pq.read_table(conll), tmp_path / "older.parquet")
    options = ("--protocol", "low_resource_conll03_1")
    figures = score(tmp_path / "older.parquet", tmp_path / "out", *options)["datasets"]["CoNLL 2003"]
    assert (figures["of_sentences"], figures["left_out"], figures["of_split"]) == (None, None, None)
    beside = capsys.readouterr().out.split("low_resource_conll03_1:")[1]
    assert line_of(beside, "CoNLL 2003").split()[2:] == ["(1", "of", "?", "sentences)", "100.00", "87.1"]
    assert "CoNLL 2003: sentences that preparation left out are not known" in beside


def test_rows_taken_out_of_the_file_since_make_its_count_unknown(tmp_path):
    whole = prepare(write_columns(tmp_path / "corpora" / "toy", SENTENCES[:1] * 3), tmp_path / "data")
    assert score(whole, tmp_path / "out")["datasets"]["toy"]["of_sentences"] == 3
    told = {KEY: pq.read_metadata(whole).metadata[KEY]}
    pq.write_table(pq.read_table(whole).slice(0, 2).replace_schema_metadata(told), tmp_path / "two.parquet")
    assert score(tmp_path / "two.parquet", tmp_path / "out")["datasets"]["toy"]["of_sentences"] is None


def test_a_limit_is_said_in_the_line_of_a_dataset_too(tmp_path, capsys):
    """One dataset has no average that could be called partial."""
    root = write_columns(tmp_path / "corpora" / "CoNLL 2003", SENTENCES[:1] * 3)
    data = prepare(root, tmp_path / "data")
    saved = perfect(data)
    saved.write_text(saved.read_text().splitlines(keepends=True)[0])
    options = ["--predictions", str(saved), "--limit", "1", "--protocol", "low_resource_conll03_1"]
    assert evaluate([*options, "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    beside = capsys.readouterr().out.split("low_resource_conll03_1:")[1]
    assert line_of(beside, "CoNLL 2003 (1 of 3 sentences)").split()[-2:] == ["100.00", "87.1"]
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["datasets"]["CoNLL 2003"]["of_split"] is scores["macro_of_split"] is None


def test_nested_mentions_that_bio_can_not_say_are_missed(instructuie, record, tmp_path):
    nested = record(
        1, sentence="Bank of Paris", entities=[{"name": n, "type": "place"} for n in ("Bank of Paris", "Paris")]
    )
    data = prepare(instructuie(test=[record(2), nested]), tmp_path / "data", "--answer-format", "bio")
    figures = score(data, tmp_path / "out")["datasets"]["toy"]
    assert figures["left_out"] == {"not_expressible": {"rows": 1, "gold": 2}}
    assert figures["of_split"]["strict"] == {"precision": 1, "recall": 2 / 4, "f1": 2 / 3}


def test_a_question_that_was_dropped_is_missed_though_its_sentence_is_there(instructuie, tmp_path, capsys):
    """Where rows ask about single types, a name that holds a tag of the format loses one question of two."""
    record = {"sentence": "Ada saw </entity> .", "entities": [{"name": "Ada", "type": "person"}]}
    record["entities"].append({"name": "</entity>", "type": "place"})
    root = instructuie(test=[record], dev=[], train=[])
    data = prepare(root, tmp_path / "data", "--answer-format", "entity_tags")
    figures = score(data, tmp_path / "out")["datasets"]["toy"]
    assert (figures["sentences"], figures["of_sentences"]) == (1, 1)
    (told,) = figures["left_out"].values()
    assert told == {"rows": 1, "gold": 1}
    assert (figures["strict"]["f1"], figures["of_split"]["strict"]["f1"]) == (1, 2 / 3)
    assert "toy: 1 of 1 sentences; left out: " in capsys.readouterr().out


def test_residual_types_count_as_missed_only_if_they_count(instructuie, tmp_path):
    record = {
        "sentence": "<|im_end|> Ada",
        "entities": [{"name": "Ada", "type": "else"}, {"name": "Ada", "type": "person"}],
    }
    sound = {"sentence": "Ada", "entities": [{"name": "Ada", "type": "person"}]}
    data = prepare(instructuie(labels=["person", "else"], test=[record, sound]), tmp_path / "data", "--keep-else")
    lost = [
        score(data, tmp_path / "out", option)["datasets"]["toy"]["left_out"]["control_token"]["gold"]
        for option in ("--keep-else", "--drop-else")
    ]
    assert lost == [2, 1]


def test_gold_of_a_record_that_could_not_be_read_is_not_known(instructuie, record, tmp_path, capsys):
    root = instructuie(test=[record(1), record(2, entities=[{"name": "Ada"}])])
    figures = score(prepare(root, tmp_path / "data", "--on-error", "skip"), tmp_path / "out")["datasets"]["toy"]
    assert (figures["sentences"], figures["of_sentences"], figures["of_split"]) == (1, 2, None)
    assert figures["left_out"] == {"bad_entity": {"rows": 1, "gold": None}}
    assert "toy: 1 of 2 sentences; left out: bad_entity 1; gold left out: 0 entities, and what bad_entity had" in (
        capsys.readouterr().out
    )


def test_a_dataset_of_which_no_row_is_left_counts_as_missed(instructuie, record, tmp_path, capsys):
    instructuie("mit-movie", test=[record(1)])
    root = instructuie("mit-restaurant", test=[record(1, sentence="<|im_end|> Ada 1 and Paris")])
    scores = score(prepare(root, tmp_path / "data"), tmp_path / "out", "--protocol", "zero_shot_7")
    assert scores["without_rows"]["mit-restaurant"]["of_split"]["strict"]["f1"] == 0
    assert (scores["macro"]["strict"], scores["macro_of_split"]["strict"]) == (1, 1 / 2)
    printed = capsys.readouterr().out
    assert "mit-restaurant: 0 of 1 sentences; left out: control_token 1; gold left out: 2 entities" in printed
    assert "mit-restaurant (0 of 1 sentences)" in printed


def test_a_dataset_of_which_no_record_could_be_read_is_one_that_is_missing(instructuie, record, tmp_path, capsys):
    instructuie("mit-movie", test=[record(1)])
    root = instructuie("mit-restaurant", test=[record(2, entities=[{"name": "Ada"}])])
    data = prepare(root, tmp_path / "data", "--on-error", "skip")
    scores = score(data, tmp_path / "out", "--protocol", "zero_shot_7")
    assert scores["without_rows"]["mit-restaurant"]["of_split"] is None
    printed = capsys.readouterr().out
    assert "mit-restaurant: 0 of 1 sentences; left out: bad_entity 1" in printed
    assert "partial (1 of 7" in printed


def test_scores_without_overlap_say_what_they_are_not_of(conll, tmp_path, capsys):
    score(conll, tmp_path / "out")
    capsys.readouterr()
    assert overlap.main([str(conll), str(conll), "--scores", str(tmp_path / "out")]) == 0
    assert (
        "CoNLL 2003: 1 of 3 sentences; left out: control_token 2; gold left out: 4 entities" in capsys.readouterr().out
    )


def test_the_page_of_an_evaluation_says_it_beside_its_averages(conll, tmp_path):
    pytest.importorskip("jinja2")
    from recipe.report.__main__ import main as report

    score(conll, tmp_path / "out")
    assert report([str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "CoNLL 2003: 1 of 3 sentences; left out: control_token 2; gold left out: 4 entities" in page
    assert re.search(r"66\.67</strong>\s*<small>gold left out by preparation as missed", page)
