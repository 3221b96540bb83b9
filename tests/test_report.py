"""The report of an evaluation: its figures are those of scores.json, text stays text, wrong input is refused."""

import base64
import hashlib
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_case as case

from recipe.core.align import Span
from recipe.core.entities import Entity
from recipe.evaluate.disagreements import KINDS
from recipe.evaluate.table import percent
from recipe.evaluate.verdict import SCORED_RULES
from recipe.report import __main__ as report
from recipe.report.charts import Bar, Line, bars, curves, intervals
from recipe.report.curves import read_curves
from recipe.report.marks import MAX_DEPTH, Named, nest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder with scores.json that nothing writes to."""
    return case.write_scores(tmp_path_factory.mktemp("report"))


@pytest.fixture
def scores(scored, tmp_path):
    """A copy of it that a test may spoil; the data and the predictions are copies, too."""
    folder = tmp_path / "scores"
    shutil.copytree(scored.parent, tmp_path, dirs_exist_ok=True)
    change(folder, lambda s: s["source"].update(data=str(tmp_path / "eval.parquet")))
    change(folder, lambda s: s["source"].update(predictions=str(tmp_path / "saved.jsonl")))
    return folder


@pytest.fixture(scope="module")
def page(scored, tmp_path_factory):
    """The page of a whole evaluation with the curves of a run, as a browser would read it."""
    folder = tmp_path_factory.mktemp("page")
    run, out = case.write_run(folder / "run"), folder / "report.html"
    assert report.main([str(scored), "--run", str(run), "--out", str(out)]) == 0
    return Page(out)


class Page(HTMLParser):
    """The parts of a page that the tests ask for."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements, self.rows, self.scripts, self.text = [], [], [], []
        self.open = []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
            return
        self.text.append(data)
        if self.rows and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data

    @property
    def data(self):
        return json.loads(self.scripts[0])


def change(folder, edit):
    """Edit a scores.json in place."""
    path = folder / "scores.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def refusal(capsys, *arguments):
    """The one line that the command printed instead of a page."""
    capsys.readouterr()
    assert report.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err.strip("\r")
    lines = [line for line in re.split(r"[\r\n]", error) if line.startswith("report: ")]
    assert len(lines) == 1
    assert "Traceback" not in error
    return lines[0]


# --------------------------------------------------------------------------------------------------------- figures


def test_the_table_holds_the_figures_of_scores_json(page, scored):
    for name, dataset in json.loads((scored / "scores.json").read_text())["datasets"].items():
        row = next(row for row in page.rows if row[0] == name and len(row) == 5 + len(SCORED_RULES))
        rules = [
            f"{percent(r['f1'])} {percent(r['low'])}–{percent(r['high'])}" for r in (dataset[x] for x in SCORED_RULES)
        ]
        lengths = [
            f"{dataset[f'{x}_words']:.1f} 95th: {dataset[f'{x}_words_p95']:.1f}" for x in ("reasoning", "answer")
        ]
        assert row == [name, f"{dataset['sentences']} of ?", *rules, percent(dataset["unparsable"]), *lengths]


def test_micro_and_macro_stand_below_it(page, scored):
    scores = json.loads((scored / "scores.json").read_text())
    micro = next(row for row in page.rows if row[0] == "All, pooled micro")
    macro = next(row for row in page.rows if row[0] == "Mean of datasets macro")
    for place, rule in enumerate(SCORED_RULES, 2):
        low, high = scores["macro_interval"][rule]
        assert micro[place].startswith(percent(scores["micro"][rule]["f1"]))
        assert macro[place] == f"{percent(scores['macro'][rule])} {percent(low)}–{percent(high)}"


def test_precision_and_recall_of_every_rule_are_there(page, scored):
    for name, dataset in json.loads((scored / "scores.json").read_text())["datasets"].items():
        for rule in SCORED_RULES:
            figures = [percent(dataset[rule][key]) for key in ("precision", "recall", "f1")]
            assert [name, rule, *figures] in [row[:5] for row in page.rows]


def test_every_type_is_in_a_table_with_its_figures(page, scored):
    for dataset in json.loads((scored / "scores.json").read_text())["datasets"].values():
        for label, figures in dataset["types"].items():
            strict = [percent(figures["strict"][key]) for key in ("precision", "recall", "f1")]
            rows = [row for row in page.rows if row[0] == label]
            assert any(row[1] == str(figures["gold"]) and row[6:9] == strict for row in rows)


def test_error_counts_are_those_of_scores_json(page, scored):
    for name, dataset in json.loads((scored / "scores.json").read_text())["datasets"].items():
        assert [name, *(str(dataset["errors"][kind]) for kind in KINDS)] in page.rows


def test_the_page_says_where_its_figures_are_from(page, scored):
    source = json.loads((scored / "scores.json").read_text())["source"]
    text = "".join(page.text)
    for key in ("data", "data_sha256", "predictions", "predictions_sha256"):
        assert source[key] in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_class_is_explained(page, kind):
    template = (Path(report.__file__).parent / "page" / "parts.html").read_text()
    assert f"<dt>{kind}</dt>" in template


# -------------------------------------------------------------------------------------------------------- sentences


def test_the_sentences_are_in_the_page_with_their_classes(page):
    kinds = [card["kinds"] for card in page.data["cards"]]
    assert kinds[:9] == [[], *([kind] for kind in ("missed", "spurious", *KINDS[2:]))]
    assert [card["row"] for card in page.data["cards"]] == list(range(len(case.ROWS)))


def test_a_sentences_pieces_make_up_the_sentence(page):
    def text(parts):
        return "".join(part if isinstance(part, str) else text(part["parts"]) for part in parts)

    for card, (example, _) in zip(page.data["cards"], case.ROWS, strict=True):
        assert text(card["gold"]) == example.sentence
        assert text(card.get("answer") or card["gold"]) == example.sentence


def test_reasoning_stands_beside_the_answer(page):
    assert page.data["cards"][0]["reasoning"] == "Right as it is."
    assert case.ATTACK in page.data["cards"][10]["reasoning"]


def named(start, end, label="a", kind=None):
    return Named(Entity("?", label), Span(start, end, label), kind)


def test_a_name_in_a_name_is_a_mark_in_a_mark():
    inner = {"type": "b", "parts": ["cd"], "kind": "missed"}
    assert nest("abcdef", [named(2, 4, "b", "missed"), named(1, 5)]) == [
        "a",
        {"type": "a", "parts": ["b", inner, "e"]},
        "f",
    ]


def test_names_that_cross_are_cut_and_go_on():
    assert nest("abcdef", [named(0, 3, "a"), named(2, 5, "b")]) == [
        {"type": "a", "parts": ["ab", {"type": "b", "parts": ["c"], "more": True}]},
        {"type": "b", "parts": ["de"], "again": True},
        "f",
    ]


def test_two_types_at_one_place_are_both_marked():
    assert nest("ab", [named(0, 2, "a"), named(0, 2, "b")]) == [
        {"type": "a", "parts": [{"type": "b", "parts": ["ab"]}]}
    ]


def test_names_beyond_what_can_be_drawn_are_told_in_words(tmp_path):
    sentence = " ".join("abcdefgh")
    names = [Entity(sentence[: 2 * size + 1], "place") for size in range(8)]
    folder = case.write_scores(tmp_path, [(case.example(sentence), case.answer(*names))])
    assert report.main([str(folder)]) == 0
    [card] = Page(folder / report.FILE).data["cards"]
    assert len(card["outside"]) == 8 - MAX_DEPTH


# ----------------------------------------------------------------------------------------------------------- sample


def errors(count):
    """Classes of `count` sentences, most of them right and each class in one alone."""
    return [frozenset(KINDS[i - 10 : i - 9]) if 10 <= i < 10 + len(KINDS) else frozenset() for i in range(count)]


def test_a_sample_has_every_class_in_it():
    kinds = errors(5000)
    for seed in range(20):
        chosen = report.sample(kinds, len(KINDS), seed)
        assert len(chosen) == len(KINDS)
        assert {kind for position in chosen for kind in kinds[position]} == set(KINDS)


def test_a_sample_has_the_size_that_was_asked_for_and_depends_on_the_seed():
    first, second = (report.sample(errors(500), 100, seed) for seed in (0, 1))
    assert len(set(first)) == len(set(second)) == 100
    assert first == report.sample(errors(500), 100, 0) != second


def test_no_sample_is_taken_of_what_fits():
    assert report.sample(errors(30), 30, 7) == list(range(30))


def test_the_page_says_that_it_is_a_sample(scored, tmp_path):
    assert report.main([str(scored), "--max-sentences", "8", "--seed", "3", "--out", str(tmp_path / "page.html")]) == 0
    page = Page(tmp_path / "page.html")
    assert len(page.data["cards"]) == 8
    assert {kind for card in page.data["cards"] for kind in card["kinds"]} == set(KINDS)
    assert "8 of 11 sentences, drawn with seed 3" in "".join(page.text)


def test_a_page_of_2000_long_answers_stays_below_5_mb_and_says_what_it_cut(tmp_path):
    rows = [
        (case.example(f"Ann left Paris {i} .", case.ANN), case.answer(case.ANN, reasoning=f"{i} " + "so on " * 1500))
        for i in range(2000)
    ]
    folder = case.write_scores(tmp_path, rows)
    assert report.main([str(folder)]) == 0
    assert (folder / report.FILE).stat().st_size < 5_000_000
    page = Page(folder / report.FILE)
    assert len(page.data["cards"]) == 2000
    assert re.search(r"\[[\d,]+ more characters in the predictions file\]$", page.data["cards"][0]["reasoning"])
    assert "cut after 1,000 characters" in "".join(page.text)


# ------------------------------------------------------------------------------------------------- text stays text


def test_what_a_model_wrote_is_no_element_of_the_page(page):
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["script"] == 2
    assert not tags.keys() & {"img", "i", "verb"}
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_one_script_that_may_run_is_the_pages_own(page):
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.search(r"script-src ([^;]*);", policy)[1] == f"'sha256-{digest}'"


def test_the_page_refers_to_nothing_outside_itself(page):
    for _, attributes in page.elements:
        assert not attributes.keys() & {"src", "srcset", "data", "action"}
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "url(" not in page.source
    assert "@import" not in page.source


def test_a_lone_surrogate_becomes_a_question_mark(page):
    assert page.data["cards"][7]["reasoning"] == "x\u2028?"


def test_a_chart_shows_names_as_they_are():
    drawn = bars([Bar("<b>$x_1$</b>\x00", "3 & more", 0.5, "50")], 1.0)
    assert "&lt;b&gt;$x_1$&lt;/b&gt;\ufffd · 3 &amp; more" in drawn
    assert "<b>" not in drawn
    assert "\x00" not in intervals([("\x00_a", 0.1, 0.1, 0.1)])


@pytest.mark.parametrize(("value", "beyond"), [(0.0, "\u2212"), (1.0, "100.")])
def test_no_scale_of_intervals_goes_beyond_what_f1_can_be(value, beyond):
    numbers = re.findall(">([^<>]+)<", intervals([("a", value, value, value)]))
    assert not [number for number in numbers if number.startswith(beyond) and number != "100.0"]


def test_charts_take_the_pages_colours_and_share_no_ids():
    first, second = (curves([Line("a", ((0, 1.0), (1, end)))]) for end in (2.0, 3.0))
    assert "var(--series-0)" in first
    assert not re.search(r"#0[0-9]0[0-9]0[0-9]", first)
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))


# ----------------------------------------------------------------------------------------------------------- curves


def test_curves_are_what_the_run_logged_and_no_others(tmp_path):
    read = {curve.title: curve.lines for curve in read_curves(case.write_run(tmp_path))}
    assert list(read) == ["Reward", "F1"]
    assert read["Reward"] == (Line("training", ((0, 5.0), (1, 5.0), (2, 5.0))),)
    assert {line.name for line in read["F1"]} == {"validation, news", f"validation, {case.ODD}"}


def test_fine_tuning_has_a_loss_curve(tmp_path):
    lines = [json.dumps({"step": s, "data": {"train/loss": 1 / s, "val/loss": float("nan")}}) for s in (1, 2)]
    case.write_lines(tmp_path / "metrics" / "a.jsonl", lines)
    [curve] = read_curves(tmp_path)
    assert (curve.title, curve.lines) == ("Loss", (Line("training", ((1, 1.0), (2, 0.5))),))


def test_many_validation_sets_are_averaged(tmp_path):
    data = {f"val-aux/set {i}/f1/mean@1": i / 10 for i in range(5)}
    case.write_lines(tmp_path / "metrics" / "a.jsonl", [json.dumps({"step": 4, "data": data})])
    [curve] = read_curves(tmp_path)
    assert curve.lines == (Line("validation, mean of 5 sets", ((4, pytest.approx(0.2)),)),)


# ---------------------------------------------------------------------------------------------------------- refused


def test_the_page_replaces_the_old_one_and_leaves_nothing_behind(scores):
    before = sorted(path.name for path in scores.iterdir())
    (scores / report.FILE).write_text("old")
    assert report.main([str(scores)]) == 0
    assert (scores / report.FILE).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in scores.iterdir()) == sorted({*before, report.FILE})


def test_a_moved_data_file_can_be_named(scores, capsys):
    moved = (scores.parent / "eval.parquet").rename(scores.parent / "moved.parquet")
    assert "no such file" in refusal(capsys, scores)
    assert report.main([str(scores), "--data", str(moved)]) == 0


def test_predictions_are_looked_for_beside_the_scores_too(scores):
    (scores.parent / "saved.jsonl").rename(scores / "predictions.jsonl")
    assert report.main([str(scores)]) == 0


def test_no_scores(tmp_path, capsys):
    assert "scores.json: no such file; write it with: python -m recipe.evaluate" in refusal(capsys, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"datasets": {}}', "\udcff"])
def test_scores_that_are_not_ours(scores, capsys, text):
    (scores / "scores.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "scores.json: " in refusal(capsys, scores)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda s: s["datasets"]["news"].pop("span"), "datasets.news.span"),
        (lambda s: s["datasets"]["news"]["strict"].pop("low"), "datasets.news.strict.low"),
        (lambda s: s["datasets"]["news"].pop("answer_words_p95"), "datasets.news.answer_words_p95"),
        (lambda s: s["datasets"]["news"]["errors"].update(missed="3"), "datasets.news.errors.missed"),
        (lambda s: s["micro"]["type"].update(f1=float("nan")), "micro.type.f1"),
        (lambda s: s["macro_interval"].update(strict=[0.1]), "macro_interval.strict"),
        (lambda s: s["source"].pop("drop_else"), "source.drop_else"),
    ],
)
def test_scores_that_lack_a_figure_are_refused_by_its_name(scores, capsys, edit, place):
    change(scores, edit)
    assert place in refusal(capsys, scores)


def test_data_that_changed_since(scores, capsys):
    case.write_rows(scores.parent / "eval.parquet", [case.example("Other .")])
    assert "eval.parquet: not the file that was scored (its sha256 is" in refusal(capsys, scores)


def test_predictions_that_changed_since(scores, capsys):
    with (scores.parent / "saved.jsonl").open("a") as file:
        file.write("\n")
    assert "saved.jsonl: not the file that was scored" in refusal(capsys, scores)


def test_predictions_that_are_gone(scores, capsys):
    (scores.parent / "saved.jsonl").unlink()
    assert "saved.jsonl: no such file, nor" in refusal(capsys, scores)


def test_figures_that_are_not_those_of_the_answers(scores, capsys):
    change(scores, lambda s: s["datasets"]["news"]["errors"].update(missed=2))
    assert "its figures of news are not those of these answers" in refusal(capsys, scores)


def test_a_run_without_figures(scores, capsys, tmp_path):
    assert "no such folder" in refusal(capsys, scores, "--run", tmp_path / "none")
    case.write_lines(tmp_path / "metrics" / "a.jsonl", ["half a li"])
    assert "no training figures" in refusal(capsys, scores, "--run", tmp_path)


def test_a_folder_as_out(scores, capsys, tmp_path):
    assert "is a folder" in refusal(capsys, scores, "--out", tmp_path)


@pytest.mark.parametrize("number", ["7", "many"])
def test_too_few_sentences_for_every_class(scored, capsys, number):
    with pytest.raises(SystemExit) as stop:
        report.main([str(scored), "--max-sentences", number])
    assert stop.value.code == 2
    assert "--max-sentences" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        report.main(["--help"])
    assert "python -m recipe.report scores/grpo --run" in capsys.readouterr().out
