"""From texts and answers to entities with offsets, what is refused, and prediction with a real vLLM."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from random_model import make_random

from recipe import predict
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity
from recipe.corpora.texts import Record, check_types, read_records
from recipe.generate.engine import Decoding
from recipe.generate.predictions import Prediction
from recipe.predict.questions import Inquiry
from recipe.predict.replies import assemble
from recipe.predict.windows import Window

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = predict.Settings()


def ask(text, types, *outputs, settings=DEFAULT):
    """The result of a text that is asked about at once, and gets these completions."""
    plan = Inquiry(Record(text, tuple(types)), (Window(0, len(text), 0, len(text)),), ((0,),))
    return assemble(0, plan, [Prediction(i, output) for i, output in enumerate(outputs)], settings)


def answer(*pairs):
    return render_entities([Entity(name, label) for name, label in pairs])


def places(result):
    return [(e.type, e.start, e.end) for e in result.entities]


# --------------------------------------------------------------------------------------------------------- offsets


def test_mentions_within_mentions():
    text = "the IL-2 gene expression"
    result = ask(text, ["dna", "protein"], answer(("IL-2 gene", "dna"), ("IL-2", "protein")))
    assert places(result) == [("dna", 4, 13), ("protein", 4, 8)]


def test_one_name_with_two_types():
    assert places(ask("in Georgia", ["city", "state"], answer(("Georgia", "state"), ("Georgia", "city")))) == [
        ("city", 3, 10),
        ("state", 3, 10),
    ]


def test_one_name_three_times():
    result = ask("Rio, Rio and Rio .", ["city"], answer(*[("Rio", "city")] * 3))
    assert places(result) == [("city", 0, 3), ("city", 5, 8), ("city", 13, 16)]


def test_a_name_given_more_often_than_it_stands_there_counts_as_often_as_it_does():
    result = ask("Rio and Rio", ["city"], answer(*[("Rio", "city")] * 5))
    assert (len(result.entities), result.not_in_text) == (2, ())


def test_c_is_not_the_c_of_c_plus_plus():
    result = ask("C++ and C .", ["language"], answer(("C", "language"), ("C++", "language")))
    assert places(result) == [("language", 0, 3), ("language", 8, 9)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_the_spelling_of_the_text(form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    text = unicodedata.normalize(form, "Ein Café in Orléans .")
    (entity,) = ask(text, ["city"], answer((unicodedata.normalize(other, "Orléans"), "city"))).entities
    assert entity.name == text[entity.start : entity.end] == unicodedata.normalize(form, "Orléans")


@pytest.mark.parametrize(
    ("text", "name"),
    [("我住在北京市。", "北京市"), ("زرت القاهرة أمس", "القاهرة"), ("👩\u200d🔬 met 🦊 Fox", "🦊 Fox")],
)
def test_scripts_and_emoji(text, name):
    (entity,) = ask(text, ["x"], answer((name, "x"))).entities
    assert (entity.name, text[entity.start : entity.end]) == (name, name)


def test_names_that_the_text_does_not_hold_are_listed_apart():
    result = ask("Ann left", ["person"], answer(("Bob", "person"), ("Ann", "person")))
    assert places(result) == [("person", 0, 3)]
    assert result.not_in_text == (Entity("Bob", "person"),)


def test_types_that_were_not_asked_for_are_listed_apart():
    result = ask("Ann left Rome", ["person"], answer(("Rome", "city"), ("Ann", "person"), ("Bob", "pet")))
    assert places(result) == [("person", 0, 3)]
    assert result.off_schema == (Entity("Rome", "city"), Entity("Bob", "pet"))
    assert result.not_in_text == ()


def test_an_answer_that_cannot_be_read_is_counted():
    result = ask("Ann left", ["person"], "I don't know")
    assert (result.entities, result.unparsable, result.answers) == ((), 1, 1)


def test_offsets_of_windows_count_from_the_start_of_the_text():
    text = "Ann left. Bob came."
    plan = Inquiry(Record(text, ("person",)), (Window(0, 9, 0, 9), Window(10, 19, 9, 19)), ((0,), (0,)))
    outputs = [render_entities([Entity("Ann", "person")], "One."), render_entities([Entity("Bob", "person")], "Two.")]
    result = assemble(0, plan, [Prediction(i, o) for i, o in enumerate(outputs)], DEFAULT)
    assert places(result) == [("person", 0, 3), ("person", 10, 13)]
    assert result.reasoning == "One.\n\nTwo."


PIECES = [
    "C++", "C", "IL-2", "IL-2 gene", "Paris", "paris", "Café", "Cafe\u0301", "Å", "A\u030a", "ﬁne", "北京", "北京市",
    "القاهرة", "القَاهِرَة",
    "👩\u200d🔬", "🦊", "❤\ufe0f", "हिन्दी", "한국", "\u1112\u1161\u11ab", "1,2", "(x)", '"q"', "\\",
    "\u0301", "\u200d", "a\u00a0b", "\u3000",
]  # fmt: skip
GAPS = [" ", " ", " ", "", "  ", "\n", ", ", ". ", "\t", "。", "\u2009"]
TYPES = ("a", "b", "c d")


def random_case(rng):
    """A text, and completions about it: real and changed parts of the text, other names, other types, broken JSON."""
    text = "".join(rng.choice(PIECES) + rng.choice(GAPS) for _ in range(rng.randint(1, 12)))

    def name():
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(PIECES)
        start = rng.randrange(len(text))
        part = text[start : start + rng.randint(1, 12)]
        if kind < 0.6:
            return part
        return rng.choice([part.lower(), part.strip(), part + "x", " ".join(part.split()), " " + part]) if kind < 0.8 \
            else unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC"]), part)  # fmt: skip

    def completion():
        entities = [Entity(name(), rng.choice([*TYPES, "else"])) for _ in range(rng.randint(0, 6))]
        written = render_entities(entities * rng.choice([1, 1, 2]), rng.choice([None, "Because."]))
        return written[: rng.randrange(len(written))] if rng.random() < 0.1 else written

    return text, [completion() for _ in range(rng.choice([1, 1, 3]))]


def test_every_entity_is_its_text_in_a_hundred_thousand_cases():
    rng, entities, cases = random.Random(0), 0, 0
    while cases < 100_000:
        text, outputs = random_case(rng)
        middle = rng.randint(0, len(text))
        end = len(text)
        halves = (Window(0, min(end, middle + 3), 0, middle), Window(max(0, middle - 3), end, middle, end))
        settings = predict.Settings(samples=len(outputs), temperature=1.0, min_agreement=rng.choice([0.3, 0.5, 1.0]))
        for windows in ((Window(0, end, 0, end),), halves):
            plan = Inquiry(Record(text, TYPES), windows, ((0,),) * len(windows))
            made = [Prediction(0, output) for _ in windows for output in outputs]
            result = assemble(0, plan, made, settings)
            for entity in result.entities:
                assert text[entity.start : entity.end] == entity.name != ""
                assert entity.type in TYPES
            assert len({(e.start, e.end, e.type) for e in result.entities}) == len(result.entities)
            entities += len(result.entities)
            cases += len(made)
    assert entities > 50_000


# ------------------------------------------------------------------------------------------------------------ votes

ANN, ROME, BOTH = answer(("Ann", "person")), answer(("Rome", "person")), answer(("Ann", "person"), ("Rome", "person"))


def votes(*outputs, share=0.5):
    settings = predict.Settings(samples=len(outputs), temperature=1.0, min_agreement=share)
    return {e.name: e.votes for e in ask("Ann in Rome", ["person"], *outputs, settings=settings).entities}


def test_an_entity_needs_half_of_the_answers():
    assert votes(ANN, ANN, BOTH, BOTH) == {"Ann": 4, "Rome": 2}
    assert votes(ANN, ANN, ROME) == {"Ann": 2}


def test_the_share_of_answers_can_be_chosen():
    assert votes(ANN, ANN, BOTH, share=1.0) == {"Ann": 3}
    assert votes(ANN, ANN, BOTH, share=0.3) == {"Ann": 3, "Rome": 1}


def test_answers_that_cannot_be_read_vote_for_nothing():
    assert votes(ANN, "?", "?") == {}


def test_a_repeated_name_is_one_vote_for_each_place():
    assert votes(answer(("Ann", "person"), ("Ann", "person")), ROME, ROME) == {"Rome": 2}


def test_the_reasoning_is_that_of_the_answer_closest_to_the_vote():
    outputs = [
        render_entities([Entity(name, "person") for name in names], thought)
        for names, thought in [(["Rome"], "far"), (["Ann"], "close"), (["Ann"], "as close"), (["Ann", "Rome"], "less")]
    ]
    settings = predict.Settings(samples=4, temperature=1.0, min_agreement=0.75)
    assert ask("Ann in Rome", ["person"], *outputs, settings=settings).reasoning == "close"


def test_a_single_answer_has_no_votes():
    assert "votes" not in ask("Ann", ["person"], ANN).as_dict()["entities"][0]


# ----------------------------------------------------------------------------------------------------- all mentions

EVERYWHERE = predict.Settings(all_mentions=True)
RIO = answer(("Rio", "city"))


def test_a_name_is_marked_wherever_it_stands_if_that_is_asked_for():
    text = "Rio , Rio and Rio de Janeiro"
    found = answer(("Rio", "city"), ("Rio de Janeiro", "city"))
    assert places(ask(text, ["city"], found)) == [("city", 0, 3), ("city", 14, 28)]
    assert places(ask(text, ["city"], found, settings=EVERYWHERE)) == [("city", 0, 3), ("city", 6, 9), ("city", 14, 28)]


def test_samples_vote_on_each_mention():
    settings = predict.Settings(all_mentions=True, samples=3, temperature=1.0)
    outputs = RIO, answer(("Rio", "city"), ("Rio", "city")), answer()
    assert [(e.start, e.votes) for e in ask("Rio , Rio", ["city"], *outputs, settings=settings).entities] == [
        (0, 2),
        (6, 2),
    ]
    assert ask("Rio , Rio", ["city"], RIO, answer(), answer(), settings=settings).entities == ()


def in_windows(settings, *outputs):
    """What is found in two windows of a text, of which the second is given other answers."""
    text = "Rio is big . Ann left Rio and Rios ."
    windows = (Window(0, 12, 0, 12), Window(13, 36, 12, 36))
    plan = Inquiry(Record(text, ("city", "person")), windows, ((0,), (0,)))
    return assemble(0, plan, [Prediction(i, output) for i, output in enumerate(outputs)], settings)


def test_a_name_of_one_window_is_marked_in_the_others():
    outputs = RIO, answer(("Ann", "person"))
    assert places(in_windows(DEFAULT, *outputs)) == [("city", 0, 3), ("person", 13, 16)]
    assert places(in_windows(EVERYWHERE, *outputs)) == [("city", 0, 3), ("person", 13, 16), ("city", 22, 25)]
    assert places(in_windows(EVERYWHERE, answer(), RIO)) == [("city", 0, 3), ("city", 22, 25)]
    sampled = predict.Settings(all_mentions=True, samples=2, temperature=1.0)
    assert [(e.start, e.votes) for e in in_windows(sampled, RIO, RIO, answer(), RIO).entities] == [(0, 2), (22, 1)]


def test_a_longer_name_of_another_type_counts_where_each_type_is_asked_about():
    settings = predict.Settings(all_mentions=True, answer_format="entity_tags")
    text, window = "York , New York Times", Window(0, 21, 0, 21)
    plan = Inquiry(Record(text, ("city", "paper")), (window,), ((0,), (0,)))
    outputs = "<entity>York</entity>", "<entity>New York Times</entity>"
    result = assemble(0, plan, [Prediction(i, output) for i, output in enumerate(outputs)], settings)
    assert places(result) == [("city", 0, 4), ("paper", 7, 21)]


def test_a_run_keeps_to_whether_all_mentions_are_marked(predictor):
    from recipe.predict.__main__ import _manifest

    assert _manifest(predictor(all_mentions=True), [])["all_mentions"] is True
    assert "all_mentions" not in _manifest(predictor(), [])  # as in runs that were begun before there was the choice


# -------------------------------------------------------------------------------------------------------- questions


@pytest.fixture
def predictor(tokenizer):
    """A model without its vLLM: it plans, and puts together what it is given."""

    def make(max_model_len=512, max_new_tokens=128, **settings):
        decoding = Decoding(max_model_len, max_new_tokens)
        return predict.Predictor(Path("model"), predict.Settings(**settings), decoding, tokenizer, [0])

    return make


def test_the_prompt_is_the_training_rows_prompt(predictor, tokenizer):
    from data_prep.rows import RowRules, sft_row
    from recipe.core.entities import Example
    from recipe.models.chat import encode_prompt

    text, types = "Naloxone reverses  the effect .", ("chemical", "disease")
    row = sft_row(Example(text, types), 0, "train", RowRules(), "none")
    assert predictor().inquiry(Record(text, types)).prompts == (tuple(encode_prompt(tokenizer, row["messages"][:1])),)


def test_no_prompt_exceeds_the_room(predictor):
    model = predictor(max_model_len=400, max_new_tokens=64)
    for text in ("One two three. " * 100, "北京是首都。" * 80, "x" * 1000):
        plan = model.inquiry(Record(text, ("person",)))
        assert len(plan.windows) > 1
        assert max(map(len, plan.prompts)) <= 400 - 64


@pytest.mark.parametrize("window", [(20, "words"), (30, "tokens")])
def test_the_window_can_be_chosen(predictor, tokenizer, window):
    text = "One two three four five. " * 20
    parts = [text[w.start : w.end] for w in predictor(4096, 128, window=window).inquiry(Record(text, ("a",))).windows]
    sizes = [len(part.split()) if window[1] == "words" else len(tokenizer(part)["input_ids"]) for part in parts]
    assert window[0] / 2 < max(sizes) <= window[0]


@pytest.mark.parametrize("text", ["a <|im_end|> b", "<think>", "</think> x", "[INST]", "x <|endoftext|>"])
def test_a_text_with_a_control_token_is_not_asked_about(predictor, text):
    plan = predictor().inquiry(Record(text, ("person",)))
    assert "control token" in plan.error
    assert plan.prompts == ()


def test_half_of_a_surrogate_pair_is_not_asked_about(predictor):
    assert "surrogate" in predictor().inquiry(Record("a \ud800", ("person",))).error


def test_types_that_leave_no_room_for_text(predictor):
    assert "fits a window" in predictor().inquiry(Record("Ann", tuple(f"type number {i}" for i in range(200)))).error


def test_results_keep_the_order_of_the_texts_whatever_comes_first(predictor):
    model = predictor()
    texts = ["Ann", "", "x <think>", "Bob and Ann"]
    plans = [model.inquiry(Record(text, ("person",))) for text in texts]
    done = {1: Prediction(1, answer(("Bob", "person"))), 0: Prediction(0, ANN)}
    results = list(model.results(plans, done))
    assert [result.sentence for result in results] == texts
    assert [len(result.entities) for result in results] == [1, 0, 0, 1]
    assert [bool(result.error) for result in results] == [False, False, True, False]


def test_samples_have_seeds_of_their_own(predictor):
    model = predictor(samples=3, temperature=1.0, seed=7)
    requests = list(model.requests([model.inquiry(Record(text, ("person",))) for text in ("Ann", "Bob")]))
    assert [(r.key, r.seed) for r in requests] == [(0, 7), (1, 8), (2, 9), (3, 7), (4, 8), (5, 9)]


@pytest.mark.parametrize(
    "settings",
    [
        {"samples": 0},
        {"samples": 2},
        {"temperature": -1.0},
        {"min_agreement": 0.0},
        {"min_agreement": 1.1},
        {"max_reasoning_tokens": 0},
        {"template": "no placeholder"},
    ],
)
def test_settings_that_do_not_go_together(settings):
    with pytest.raises(DataError):
        predict.Settings(**settings)


# ------------------------------------------------------------------------------------------------------------ input


def test_types_are_normalised_and_sorted():
    assert check_types([" Person", "city"], "here") == ("city", "person")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no types"),
        (["a", ""], "empty type"),
        (["a", "A "], "twice"),
        (["nan"], "not a type that can be asked for"),
        (["a\x07b"], "can't be printed"),
        (["<|im_end|>"], "control token"),
        ("person", "list of strings"),
        ([1], "list of strings"),
    ],
)
def test_types_that_cannot_be_asked_for(labels, message):
    with pytest.raises(DataError, match=message):
        check_types(labels, "here")


def records(tmp_path, name, content, types=("t",)):
    (tmp_path / name).write_bytes(content)
    return read_records(tmp_path / name, types)


def test_a_text_file_has_a_record_a_line(tmp_path):
    texts = [record.text for record in records(tmp_path, "a.txt", "\ufeffone\r\n\ntwo\u2028three \nfour".encode())]
    assert texts == ["one", "", "two\u2028three ", "four"]


def test_json_lines_carry_ids_and_types(tmp_path):
    lines = b'{"text": "A", "id": 7, "types": ["B", "a"]}\n\n{"sentence": "C"}\n'
    assert records(tmp_path, "a.jsonl", lines) == [Record("A", ("a", "b"), 7), Record("C", ("t",))]


def test_a_parquet_file_with_a_column_of_texts(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"sentence": ["A", "B"], "types": [["x"], None], "id": ["p", "q"]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_records(tmp_path / "a.parquet", ("t",)) == [Record("A", ("x",), "p"), Record("B", ("t",), "q")]


def evaluation_rows(path, texts, **rules):
    pytest.importorskip("pyarrow")
    from data_prep.output import write_parquet
    from data_prep.rows import RowRules, question_row, row_schema
    from recipe.core.entities import Example

    rows = [question_row(Example(t, ("person", "place")), i, "test", RowRules(**rules)) for i, t in enumerate(texts)]
    write_parquet(path, rows, row_schema(sft=False))
    return path


def test_evaluation_rows_are_texts_with_their_types(tmp_path):
    (record,) = read_records(evaluation_rows(tmp_path / "eval.parquet", ["Ann left ."]), None)
    assert (record.text, record.types) == ("Ann left .", ("person", "place"))


def test_evaluation_rows_of_another_wording_are_refused(tmp_path, predictor):
    path = evaluation_rows(tmp_path / "eval.parquet", ["Ann left ."], template="{{SCHEMA}} in {{SENTENCE}}?")
    (record,) = read_records(path, None)
    with pytest.raises(DataError, match="prompt-template"):
        predictor().inquiry(record)
    assert predictor(template="{{SCHEMA}} in {{SENTENCE}}?").inquiry(record).prompts


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"x", "ends with .txt, .jsonl, .parquet"),
        ("a.txt", b"", "no text in it"),
        ("a.txt", b"\xff\n", "is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 1}\n', "line 2: no string text"),
        ("a.jsonl", b'{"text": "a", "sentence": "a"}\n', "line 1: both text and sentence"),
        ("a.jsonl", b'{"text": "a"\n', "line 1: not JSON"),
        ("a.jsonl", b"[]\n", "line 1: not a JSON object"),
        ("a.jsonl", b'{"text": "a", "types": ["x", "X"]}\n', "line 1: type 'x' stands there twice"),
        ("a.jsonl", b'{"text": "a", "id": [1]}\n', "line 1: the id"),
        ("a.parquet", b"x", "not a Parquet file"),
    ],
)
def test_input_that_is_refused(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        records(tmp_path, name, content)


def test_a_record_without_types_anywhere_is_named(tmp_path):
    with pytest.raises(DataError, match="line 2: no types"):
        records(tmp_path, "a.jsonl", b'{"text": "a", "types": ["x"]}\n{"text": "b"}\n', types=None)


# ---------------------------------------------------------------------------------------------------------- command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("tiny") / "model", hidden_size=128, layers=2)


def start(*arguments, stdin=subprocess.DEVNULL, **options):
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    command = [sys.executable, "-m", "recipe.predict", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, encoding="utf-8", **pipes)


def run(*arguments, given=None):
    process = start(*arguments, stdin=subprocess.DEVNULL if given is None else subprocess.PIPE)
    try:
        out, err = process.communicate(given, timeout=600)
    finally:
        process.kill()
    return process.returncode, out, err


def refused(*arguments, given=None):
    began = os.times().children_user
    status, out, err = run(*arguments, given=given)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("predict: ")
    assert os.times().children_user - began < 3, "too slow: something heavy was loaded"
    return err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--types", "a", "--text", "x", "--input", "y.txt"), "not allowed with"),
        (("--types", "a", "--text", "x", "--samples", "0"), "--samples 0: at least 1"),
        (("--types", "a,,b", "--text", "x"), "empty type"),
        (("--types", "a,A", "--text", "x"), "twice"),
        (("--text", "x"), "no types"),
        (("--types", "a", "--input", "none.txt"), "none.txt: no such file"),
        (("--types", "a", "--input", "README.md"), "ends with .txt"),
        (("--types", "a", "--text", "x", "--window", "0"), "--window"),
        (("--types", "a", "--text", "x", "--output", "none/a.json"), "no folder none"),
        (("--types", "a", "--text", "x"), "no config.json"),
    ],
)
def test_bad_input_is_one_line_before_anything_heavy_is_loaded(tmp_path, options, message):
    assert message in refused(tmp_path, *options)


def test_an_output_of_unknown_origin_is_not_overwritten(tmp_path):
    (tmp_path / "found.jsonl").write_text("mine")
    assert "is there already" in refused(tmp_path, "--types", "a", "--text", "x", "--output", tmp_path / "found.jsonl")


def test_an_empty_pipe_is_refused(tmp_path):
    assert "stdin: no text in it" in refused(tmp_path, "--types", "a", given="")


def test_a_pipe_of_lines_and_one_of_json_are_told_apart(model):
    """Nothing here has to be asked of the model."""
    lines = [json.loads(line) for line in run(model, "--types", "a", given="<think>\n\n")[1].splitlines()]
    assert [(line["sentence"], "error" in line) for line in lines] == [("<think>", True), ("", False)]
    status, out, err = run(model, given='{"text": "<think> \\ud800", "types": ["a"], "id": "x"}\n')
    assert (status, json.loads(out)["sentence"], json.loads(out)["id"]) == (0, "<think> \ud800", "x")
    assert "1 texts were not asked about, the first is record 0" in err


def test_imports_nothing_heavy():
    heavy = ("torch", "vllm", "transformers", "pyarrow", "tqdm")
    code = f"import sys; from recipe import predict; predict.load; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_shows_examples():
    status, out, _ = run("--help")
    assert (status, "python -m recipe.predict models/grpo" in out, "a.txt --all-mentions" in out) == (0, True, True)


# -------------------------------------------------------------------------------------------------------- with vLLM

OPTIONS = ("--max-new-tokens", "24", "--dtype", "float32", "--types", "person,place")


@pytest.mark.slow
@pytest.mark.vllm
def test_what_vllm_prints_is_kept_only_where_it_tells_of_a_failure(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def logs():
        return list((tmp_path / "temporary").glob("recipe.predict.*"))

    status, out, err = run(model, *OPTIONS, "--text", "Ann met Bob .")
    assert (status, json.loads(out)[0]["sentence"], logs()) == (0, "Ann met Bob .", []), err
    assert [line for line in err.splitlines() if not line.startswith("predict: ")] == []
    broken = shutil.copytree(model, tmp_path / "broken")
    os.truncate(broken / "model.safetensors", (broken / "model.safetensors").stat().st_size - 8)
    status, out, err = run(broken, *OPTIONS, "--text", "Ann met Bob .")
    cause, _, log = err.splitlines()
    assert (status, out, "SafetensorError" in cause) == (1, "", True)
    assert log.startswith(f"log        {logs()[0]}, line ")
    assert "Traceback" in logs()[0].read_text()


@pytest.mark.slow
@pytest.mark.vllm
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed(model, tmp_path):
    texts, out, saved = tmp_path / "texts.txt", tmp_path / "out.jsonl", tmp_path / "out.jsonl.run/predictions.jsonl"
    texts.write_text("".join(f"Ann {i} met Bob in Paris .\n" for i in range(200)))
    options = (model, *OPTIONS, "--batch", "4", "--input", texts, "--output", out)
    process = start(*options)
    try:
        deadline = time.monotonic() + 600
        while not (saved.exists() and saved.read_bytes().count(b"\n") >= 8) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finally:
        process.kill()
    kept = saved.read_bytes().rpartition(b"\n")[0]
    assert not out.exists()
    assert 8 <= kept.count(b"\n") + 1 < 200

    status, printed, err = run(*options)
    assert (status, printed) == (0, ""), err
    assert saved.read_bytes().startswith(kept)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["sentence"] for line in lines] == texts.read_text().splitlines()
    first = json.loads(kept.splitlines()[0])
    assert lines[first["index"]]["answers"] == 1

    # Once more: all is there, in another format too, and other settings are refused.
    assert run(*options, "--format", "inline")[0] == 0
    assert out.read_text().count("\n") == 200
    status, printed, err = run(*options, "--constrained")
    assert (status, "constrained: False there, True now" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.vllm
def test_a_reader_that_goes_away_is_no_error(model):
    process = start(model, *OPTIONS, "--batch", "1", stdin=subprocess.PIPE)
    try:
        process.stdin.write("Ann met Bob .\n" * 50)
        process.stdin.close()
        first = process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(timeout=600), "Traceback" in err, "predict:" in err) == (141, False, False), err
    finally:
        process.kill()
    assert json.loads(first)["sentence"] == "Ann met Bob ."


@pytest.mark.slow
@pytest.mark.vllm
def test_answers_are_those_that_evaluation_scores(model, tmp_path):
    data = evaluation_rows(tmp_path / "eval.parquet", ["Ann left Paris .", "Nobody came .", "Café 北京 ."])
    command = [sys.executable, "-m", "recipe.evaluate", model, "--data", data, "--out", tmp_path / "eval"]
    subprocess.run([*command, *OPTIONS[:4]], cwd=ROOT, check=True, capture_output=True)
    status, _, err = run(model, *OPTIONS[:4], "--input", data, "--output", tmp_path / "out.jsonl")
    assert status == 0, err

    def outputs(folder):
        lines = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
        return {line["index"]: line["output"] for line in lines}

    assert outputs(tmp_path / "out.jsonl.run") == outputs(tmp_path / "eval")


SCRIPT = """
import json, sys
from recipe import predict
from recipe.corpora.texts import Record
from recipe.generate.engine import Request

out = {}
with predict.load(sys.argv[1], max_new_tokens=200, dtype="float32", constrained=True, max_reasoning_tokens=8) as model:
    texts = [f"Ann {i} met Bob in Paris ." for i in range(12)]
    types = ["person", 'a "quoted" \\\\ type', "地点"]
    out["constrained"] = [result.as_dict() for result in model.many(texts, types)]
    plan = model.inquiry(Record(texts[0], ("person",)))
    out["outputs"] = [p.output for p in model.completions(model.requests([plan]))]
    out["within"] = [(a.sentence, model("Eve .", types).sentence) for a in model.many(texts[:3], types)]
    sampled = [Request(i, plan.prompts[0], 1.0, seed) for i, seed in enumerate([1, 1, 2])]
    out["sampled"] = [p.output for p in sorted(model.completions(sampled), key=lambda p: p.index)]
    thinking = [*plan.prompts[0], *model.tokenizer("<think>")["input_ids"]]
    out["opened"] = [p.output for p in model.completions([Request(0, thinking, max_reasoning_tokens=8)])]
    half = model.many(texts, types)
    next(half)
    half.close()
    out["after"] = len(list(model.many(texts, types)))
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def api(model):
    """What a program that loads the model once gets from it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(model)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.vllm
def test_constrained_answers_of_a_random_model_can_be_read_and_keep_to_the_types(api):
    assert [line["unparsable"] for line in api["constrained"]] == [0] * 12
    assert all(line["off_schema"] == [] for line in api["constrained"])
    assert json.loads(api["outputs"][0].rpartition("</think>")[2]).keys() == {"entities"}


@pytest.mark.slow
@pytest.mark.vllm
def test_the_model_can_be_asked_while_an_iteration_is_open(api):
    assert api["within"] == [[f"Ann {i} met Bob in Paris .", "Eve ."] for i in range(3)]


@pytest.mark.slow
@pytest.mark.vllm
def test_an_iteration_that_is_left_does_not_disturb_the_next(api):
    assert api["after"] == 12


@pytest.mark.slow
@pytest.mark.vllm
def test_the_seed_decides_what_is_drawn(api):
    one, again, other = api["sampled"]
    assert one == again != other


@pytest.mark.slow
@pytest.mark.vllm
def test_a_think_block_is_closed_at_the_limit(api):
    (output,) = api["opened"]
    assert "\n</think>\n" in output
