import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from linear_time import linear_time
from transformers import AutoTokenizer

from data_prep import output as ner_output
from data_prep import sources
from data_prep.arguments import parser
from data_prep.hub import Fetched
from data_prep.refusals import refusal
from data_prep.rows import RowRules, sentence_key
from data_prep.to_parquet import main, reading_of
from recipe import answers, corpora
from recipe.answers import json_answer
from recipe.core.entities import Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora.annotated import Annotated, Mention
from recipe.corpora.datasets import dataset_at, find_datasets
from recipe.corpora.record_layout import RecordLayout
from recipe.models.chat import encode_prompt

ROOT = Path(__file__).resolve().parent.parent


def rows(path):
    return pq.read_table(path).to_pylist()


def sentences(path):
    return [row["extra_info"]["sentence"] for row in rows(path)]


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


@pytest.fixture
def corpus(instructuie, record):
    """Three datasets: 60, 30 and 10 train rows; 30, 15 and no dev rows; 3 test rows each."""
    for name, train, dev in (("a b", 60, 30), ("c_sample_15000", 30, 15), ("d", 10, None)):
        splits = {"train": [record(i) for i in range(train)], "test": [record(i) for i in range(900, 903)]}
        if dev is not None:
            splits["dev"] = [record(i) for i in range(100, 100 + dev)]
        root = instructuie(name, **splits)
    return root


@pytest.fixture
def grpo(corpus, tmp_path):
    """Runs `grpo` on the corpus with more arguments; the folder it wrote."""

    def run(*args, out="out", expect=0):
        amounts = ["--num-samples", "40", "--num-dev", "9"]
        assert main(["grpo", "--corpora", str(corpus), "--out", str(tmp_path / out), *amounts, *args]) == expect
        return tmp_path / out

    return run


# ------------------------------------------------------------------------------------------------------------ GRPO


def test_grpo_totals_are_exact_and_proportional(grpo):
    out = grpo()
    counts = {name: entry["written"] for name, entry in manifest(out)["train.parquet"]["datasets"].items()}
    assert counts == {"a b": 24, "c": 12, "d": 4}
    assert (len(rows(out / "train.parquet")), len(rows(out / "dev.parquet"))) == (40, 9)


def test_a_grpo_row_has_verls_columns(grpo):
    row = rows(grpo() / "train.parquet")[0]
    assert list(row) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert row["ability"] == "ner"
    assert row["reward_model"]["style"] == "rule"
    assert row["extra_info"]["index"] == 0
    assert row["extra_info"]["split"] == "train"
    assert row["data_source"] == row["extra_info"]["dataset"]


def test_the_ground_truth_is_json_that_the_reward_reads_back(grpo):
    for row in rows(grpo() / "train.parquet"):
        gold = from_ground_truth(row["reward_model"]["ground_truth"])
        assert gold.types == ("person", "place")
        assert row["prompt"] == [{"role": "user", "content": answers.render_prompt(gold)}]
        assert gold.sentence == row["extra_info"]["sentence"]


def test_verls_dataset_reads_the_file(grpo, tokenizer):
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create(
        {"max_prompt_length": 2048, "filter_overlong_prompts": True, "filter_overlong_prompts_workers": 1}
    )
    dataset = RLHFDataset(str(grpo() / "train.parquet"), tokenizer, config)
    assert len(dataset) == 40
    assert dataset[3]["index"] == 3
    assert encode_prompt(tokenizer, dataset[3]["raw_prompt"])


def test_one_seed_gives_the_same_bytes_and_another_other_rows(grpo):
    one, two, other = grpo(out="1"), grpo(out="2"), grpo("--seed", "7", out="3")
    for name in ("train.parquet", "dev.parquet", "manifest.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert set(sentences(one / "train.parquet")) != set(sentences(other / "train.parquet"))


def test_the_sample_does_not_depend_on_the_order_of_rows_or_datasets(grpo, corpus):
    one = grpo("--datasets", "a b", "c", "d", out="1")
    for path in corpus.glob("*/train.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    two = grpo("--datasets", "d", "c", "a b", out="2")
    assert (one / "train.parquet").read_bytes() == (two / "train.parquet").read_bytes()


def test_a_dataset_counts_as_at_most_the_maximum(grpo):
    out = grpo("--max-per-dataset", "20")
    counts = {name: entry["written"] for name, entry in manifest(out)["train.parquet"]["datasets"].items()}
    assert counts == {"a b": 16, "c": 16, "d": 8}


@pytest.fixture
def half_empty(instructuie, record, tmp_path):
    """Runs `sft` or `grpo` on 400 sentences, of which every second one has nothing to find, and 40 dev rows as such."""
    kept = [record(i) | ({"entities": []} if i % 2 else {}) for i in range(440)]
    root = instructuie("half", train=kept[:400], dev=kept[400:])

    def run(command, *args, out="out"):
        assert main([command, "--corpora", str(root), "--out", str(tmp_path / out), *args]) == 0
        return tmp_path / out

    return run


def empties(path):
    return {row["extra_info"]["sentence"] for row in rows(path) if not gold_of(row)}


def gold_of(row):
    if "messages" in row:
        return answers.parse(row["messages"][1]["content"], Example("", tuple(row["extra_info"]["types"]))).entities
    return from_ground_truth(row["reward_model"]["ground_truth"]).entities


@pytest.mark.parametrize("command", [["grpo"], ["grpo", "--answer-format", "bio"], ["sft", "--cot", "template"]])
def test_of_train_rows_with_nothing_to_find_a_share_is_kept(half_empty, command):
    def written(kept, *more):
        return half_empty(*command, "--keep-empty", kept, *more, out="".join(["empty", kept, *more]))

    outs = [written(kept) for kept in ("1", "0.5", "0.25", "0")]
    whole, half, quarter, none = (empties(out / "train.parquet") for out in outs)
    assert (len(whole), len(none)) == (200, 0)
    assert quarter < half < whole
    assert 30 <= len(quarter) <= 70, "50 of 200, give or take three deviations"
    assert quarter != empties(written("0.25", "--seed", "7") / "train.parquet")
    for out, left in zip(outs, (whole, half, quarter, none), strict=True):
        assert len(rows(out / "train.parquet")) == 200 + len(left)
        assert len(rows(out / "dev.parquet")) == 40, "a model is measured on all"
        dropped = manifest(out)["train.parquet"]["datasets"]["half"]["dropped"]
        assert dropped == ({"empty": 200 - len(left)} if len(left) < 200 else {})


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan", "half"])
def test_a_share_of_empty_rows_that_is_none(grpo, share, capsys):
    with pytest.raises(SystemExit) as end:
        grpo("--keep-empty", share)
    assert end.value.code == 2
    assert "no share from 0" in capsys.readouterr().err


def test_datasets_without_dev_are_named_and_the_others_give_the_rows(grpo, capsys):
    out = grpo()
    assert "no dev split, so no dev rows: d" in capsys.readouterr().err
    assert len(rows(out / "dev.parquet")) == 9


def test_no_dev_at_all_is_an_error_with_a_remedy(grpo, capsys):
    grpo("--datasets", "d", expect=2)
    assert "pass --num-dev 0" in capsys.readouterr().err


def test_too_many_rows_asked_for_is_an_error_that_says_how_many_there_are(grpo, tmp_path, capsys):
    grpo("--num-samples", "101", expect=2)
    assert "--num-samples: train: 101 rows asked for, 100 there are; ask for 100 or fewer" in capsys.readouterr().err
    grpo("--num-dev", "46", expect=2)
    assert "--num-dev: dev: 46 rows asked for, 45 there are; ask for 45 or fewer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_small_corpus_gives_all_it_has_where_no_number_was_asked_for(corpus, tmp_path, capsys):
    assert main(["grpo", "--corpora", str(corpus), "--out", str(tmp_path / "out")]) == 0
    assert (len(rows(tmp_path / "out" / "train.parquet")), len(rows(tmp_path / "out" / "dev.parquet"))) == (100, 45)
    notes = capsys.readouterr().err
    assert "note: --num-samples: 5,000 rows by default, 100 there are, so train has all of them" in notes
    assert "note: --num-dev: 300 rows by default, 45 there are, so dev has all of them" in notes
    arguments = manifest(tmp_path / "out")["train.parquet"]["arguments"]
    assert (arguments["num_samples"], arguments["num_dev"]) == (5000, 300)


def test_a_corpus_without_dev_rows_gives_train_rows_alone_unless_dev_rows_were_asked_for(corpus, tmp_path, capsys):
    args = ["grpo", "--corpora", str(corpus), "--datasets", "d", "--out", str(tmp_path / "out")]
    assert main([*args, "--num-samples", "7"]) == 0
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["manifest.json", "train.parquet"]
    assert main([*args, "--num-samples", "7", "--num-dev", "2"]) == 2
    assert "--num-dev: no dataset has a dev split (d); pass --num-dev 0" in capsys.readouterr().err


def test_a_dev_split_of_which_every_row_is_refused_is_an_error_that_says_how_to_do_without(
    grpo, corpus, record, capsys
):
    dev = [record(sentence="Ada <|im_end|>", entities=[])]
    for name in ("a b", "c_sample_15000"):
        (corpus / name / "dev.json").write_text(json.dumps(dev))
    assert main(["grpo", "--corpora", str(corpus), "--out", str(corpus / "out")]) == 2
    assert "dev split: no row is left; 2 records read, 2 control_token; --num-dev 0 does" in capsys.readouterr().err


def test_refused_rows_are_replaced_so_that_totals_stay_exact(grpo, corpus, record):
    train = [record(i) for i in range(60)]
    for i in range(0, 60, 2):
        train[i]["sentence"] += " <|im_end|>"
    (corpus / "a b" / "train.json").write_text(json.dumps(train))
    out = grpo()
    assert len(rows(out / "train.parquet")) == 40
    assert manifest(out)["train.parquet"]["datasets"]["a b"]["dropped"] == {"control_token": 30}


def test_a_list_names_what_is_missing_and_goes_on(grpo, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("a b\nCoNLL 2003\n")
    out = grpo("--list", str(names))
    assert "CoNLL 2003" in capsys.readouterr().err
    assert {row["data_source"] for row in rows(out / "train.parquet")} == {"a b"}


def test_a_dataset_that_was_named_and_is_missing_is_an_error_that_lists_what_is_there(grpo, capsys):
    grpo("--datasets", "a b", "e", expect=2)
    assert "has no dataset 'e'; there are: a b, c, d" in capsys.readouterr().err


def test_a_list_of_which_nothing_is_there_is_an_error(grpo, capsys):
    grpo("--list", "cross_domain", expect=2)
    assert "no dataset of the list cross_domain" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ evaluation


def test_evaluation_keeps_the_order_of_datasets_and_rows_and_every_repeat(corpus, tmp_path, record):
    (corpus / "d" / "test.json").write_text(json.dumps([record(5), record(5)]))
    args = ["eval", "--corpora", str(corpus), "--datasets", "d", "a b", "--out", str(tmp_path / "out")]
    assert main(args) == 0
    found = rows(tmp_path / "out" / "test.parquet")
    assert [row["data_source"] for row in found] == ["d"] * 2 + ["a b"] * 3
    assert [row["extra_info"]["index"] for row in found] == list(range(5))
    assert sentences(tmp_path / "out" / "test.parquet")[:2] == [record(5)["sentence"]] * 2


def test_another_split_goes_into_a_file_of_its_name_and_the_manifest_keeps_both(corpus, tmp_path):
    for split in ("test", "train"):
        assert main(["eval", "--corpora", str(corpus), "--split", split, "--out", str(tmp_path / "out")]) == 0
    assert list(manifest(tmp_path / "out")) == ["test.parquet", "train.parquet"]


def test_the_twelve_datasets_give_every_test_sentence(ner_data, tmp_path):
    assert main(["eval", "--corpora", str(ner_data), "--list", "cross_domain", "--out", str(tmp_path)]) == 0
    assert len(rows(tmp_path / "test.parquet")) == 2443 + 1521 + 431 + 416 + 465 + 651 + 543


# ------------------------------------------------------------------------------------------------------------- SFT


@pytest.fixture
def sft(corpus, tmp_path):
    def run(*args, out="out", expect=0):
        assert main(["sft", "--corpora", str(corpus), "--out", str(tmp_path / out), *args]) == expect
        return tmp_path / out

    return run


def test_an_sft_row_answers_the_prompt_of_grpo_and_says_where_its_reasoning_is_from(sft):
    row = rows(sft("--datasets", "d", "--cot", "template") / "train.parquet")[0]
    assert list(row) == ["data_source", "messages", "ability", "extra_info"]
    question, answer = row["messages"]
    assert (question["role"], answer["role"]) == ("user", "assistant")
    assert answer["content"].startswith('<think>\n"Ada ')
    assert row["extra_info"]["cot"] == "template"


def test_sft_takes_all_rows_of_train_and_dev_unless_told_otherwise(sft):
    out = sft("--no-cot")
    assert (len(rows(out / "train.parquet")), len(rows(out / "dev.parquet"))) == (100, 45)
    out = sft("--no-cot", "--num-samples", "10", "--num-dev", "0", out="few")
    assert len(rows(out / "train.parquet")) == 10
    assert not (out / "dev.parquet").exists()


def test_answers_without_reasoning_differ_from_those_with_it_in_the_think_block_alone(sft):
    plain = rows(sft("--no-cot", out="1") / "train.parquet")
    with_cot = rows(sft("--cot", "template", out="2") / "train.parquet")
    for one, two in zip(plain, with_cot, strict=True):
        assert one["messages"][0] == two["messages"][0]
        assert two["messages"][1]["content"].endswith("</think>\n" + one["messages"][1]["content"])


def test_shares_of_train_are_nested(sft):
    small, large = (set(sentences(sft("--no-cot", "--share", x, out=x) / "train.parquet")) for x in ("0.1", "0.2"))
    assert small < large


@pytest.mark.parametrize("share", ["0", "1.5", "-1", "nan"])
def test_a_share_that_is_none_is_an_error_that_names_the_option(sft, capsys, share):
    sft("--no-cot", f"--share={share}", expect=2)
    assert f"--share: {float(share)}: must be above 0 and at most 1" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "there"), [("--num-samples", 100), ("--num-dev", 45)])
def test_more_sft_rows_than_there_are_is_an_error_that_names_the_option(sft, capsys, option, there):
    sft("--no-cot", option, "1000", expect=2)
    assert f"{option}: " in (line := capsys.readouterr().err)
    assert f"1000 rows asked for, {there} there are" in line


def test_instructuie_needs_a_word_on_reasoning(sft, capsys):
    sft(expect=2)
    assert "--cot template" in capsys.readouterr().err


@pytest.fixture
def ner_cot(tmp_path):
    """Writes NER-CoT rows and runs `sft` on them; the folder it wrote."""

    def run(rows, *args, expect=0):
        path = tmp_path / "cot.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["sft", "--ner-cot", str(path), "--out", str(tmp_path / "out"), *args]) == expect
        return tmp_path / "out"

    return run


def cot_row(number=0, **changes):
    entities = [{"text": "Paris", "label": "City"}]
    row = {"sentence": f"{number} people live in Paris .", "schema": ["city", "person"], "source": "Pile-NER"}
    return {**row, "cot": f"Paris is a city, {number}.", "entities": entities, "guid": str(number), **changes}


def test_a_ner_cot_row_keeps_its_reasoning(ner_cot):
    row = rows(ner_cot([cot_row(3)]) / "train.parquet")[0]
    expected = json_answer.render_entities([Entity("Paris", "city")], "Paris is a city, 3.")
    assert row["messages"][1]["content"] == expected
    assert (row["data_source"], row["extra_info"]["cot"]) == ("Pile-NER", "ner_cot")


def test_no_cot_leaves_the_reasoning_out(ner_cot):
    row = rows(ner_cot([cot_row()], "--no-cot") / "train.parquet")[0]
    assert row["messages"][1]["content"] == json_answer.render_entities([Entity("Paris", "city")])
    assert row["extra_info"]["cot"] == "none"


def test_dev_rows_are_held_out_and_no_sentence_stands_in_both(ner_cot):
    twice = [cot_row(i, cot=f"{i}{j}") for i in range(20) for j in "ab"]
    out = ner_cot(twice, "--num-dev", "5")
    dev, train = sentences(out / "dev.parquet"), sentences(out / "train.parquet")
    assert len(dev) == 5
    assert not set(dev) & set(train)
    assert len(train) == 40 - 2 * len(set(dev))


@pytest.mark.parametrize("cot", ["<|im_end|>", "[/INST] x"])
def test_reasoning_with_a_control_token_is_refused(ner_cot, cot):
    out = ner_cot([cot_row(1), cot_row(2, cot=cot)])
    (entry,) = manifest(out)["train.parquet"]["datasets"].values()
    assert entry["dropped"] == {"control_token": 1}
    assert entry["written"] == 1


# ------------------------------------------------------------------------------------- datasets that are one file


@pytest.fixture
def one_file(tmp_path, monkeypatch):
    """Writes sentences into one file of a layout of records, {"t", "m": [[start, end, label]]}; its path."""

    def read(record, _context):
        return Annotated(record["t"], tuple(Mention(label, start, end) for start, end, label in record["m"]))

    layout = RecordLayout("spans", '{"t", "m"}', lambda record: isinstance(record, dict) and "t" in record, read)
    monkeypatch.setattr(corpora, "LAYOUTS", (layout, *corpora.LAYOUTS))

    def write(texts, name="own.jsonl"):
        lines = [json.dumps({"t": text, "m": [[0, text.index(" "), "PER"]]}) for text in texts]
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
        return tmp_path / name

    return write


def run(command, path, out, *more, expect=0):
    assert main([command, "--corpora", str(path), "--out", str(out), *more]) == expect
    return {file.stem: sentences(file) for file in out.glob("*.parquet")}


def test_evaluation_takes_all_of_a_dataset_that_is_one_file(one_file, tmp_path):
    texts = [f"Ada {i} left ." for i in range(7)]
    assert run("eval", one_file(texts), tmp_path / "out") == {"test": texts}
    assert list(manifest(tmp_path / "out")["test.parquet"]["datasets"]) == ["own"]
    assert run("eval", one_file(texts), tmp_path / "dev", "--split", "dev", "--datasets", "own") == {"dev": texts}


@pytest.mark.parametrize("more", [("sft", "--no-cot"), ("grpo",)])
def test_one_file_gives_no_dev_rows_unless_they_are_asked_for(one_file, tmp_path, capsys, more):
    command, *more = more
    texts = [f"Ada {i} left ." for i in range(40)]
    path = one_file(texts)
    written = run(command, path, tmp_path / "all", *more)
    assert {name: sorted(texts) for name, texts in written.items()} == {"train": sorted(texts)}
    assert "note: own is one file, so no dev rows; --num-dev N takes some" in capsys.readouterr().err
    some = run(command, path, tmp_path / "some", *more, "--num-dev", "6")
    assert len(some["dev"]) == 6
    assert sorted(some["dev"] + some["train"]) == sorted(texts)
    assert "one file" not in capsys.readouterr().err


def test_a_sentence_that_differs_in_case_and_space_alone_is_held_out_too(one_file, tmp_path):
    texts = [form for i in range(20) for form in (f"Ada {i} left .", f"ADA  {i}  LEFT .")]
    some = run("grpo", one_file(texts), tmp_path / "out", "--num-dev", "5")
    dev, train = ({sentence_key(text) for text in some[name]} for name in ("dev", "train"))
    assert not dev & train
    assert len(dev | train) == 20
    dropped = manifest(tmp_path / "out")["train.parquet"]["datasets"]["own"]["dropped"]
    assert dropped == {"in_dev": 40 - len(some["train"])}


def test_more_rows_than_are_left_is_an_error_that_counts_what_is_left(one_file, tmp_path, capsys):
    path = one_file([f"Ada {i} left ." for i in range(10)])
    run("sft", path, tmp_path / "out", "--no-cot", "--num-dev", "4", "--num-samples", "7", expect=2)
    assert "--num-samples: train: 7 rows asked for, 6 there are" in capsys.readouterr().err
    run("sft", path, tmp_path / "out", "--no-cot", "--num-dev", "11", expect=2)
    assert "--num-dev: dev: 11 rows asked for, 10 there are" in capsys.readouterr().err
    run("sft", path, tmp_path / "out", "--no-cot", "--num-dev", "10", expect=2)
    assert "train split: no row is left; 10 records read, 10 in_dev" in capsys.readouterr().err


def test_single_files_beside_ordinary_datasets_share_no_sentence_between_train_and_dev(
    one_file, corpus, tmp_path, monkeypatch
):
    shared = [f"Ada {i} left ." for i in range(60)]
    files = [one_file(shared, "one.jsonl"), one_file(shared[::-1], "two.jsonl")]
    datasets = [*map(dataset_at, files), *find_datasets(corpus)[0]]
    monkeypatch.setattr("recipe.corpora.datasets.find_datasets", lambda *_, **__: (datasets, []))
    written = run("sft", corpus, tmp_path / "out", "--no-cot", "--num-dev", "50")
    assert not set(written["dev"]) & set(written["train"])
    entry = manifest(tmp_path / "out")
    assert entry["dev.parquet"]["datasets"]["one"]["written"] > 0
    assert entry["train.parquet"]["datasets"]["two"]["dropped"]["in_dev"] > 0
    assert "d" not in entry["dev.parquet"]["datasets"]


def test_dev_rows_from_a_file_that_train_rows_come_from_too_are_held_out(ner_cot, tmp_path):
    again = tmp_path / "again.jsonl"
    again.symlink_to(tmp_path / "cot.jsonl")
    out = ner_cot([cot_row(i) for i in range(20)], "--dev-ner-cot", str(again), "--num-dev", "5")
    dev, train = sentences(out / "dev.parquet"), sentences(out / "train.parquet")
    assert (len(dev), len(train), len({*dev, *train})) == (5, 15, 20)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--type", "person"], "--type: no use for the layout of"),
        (["--columns", "1,-1", "--join", ""], "--columns, --join: no use for the layout of"),
        (["--dev-ner-cot", "x.jsonl", "--num-dev", "0"], "give one of them"),
    ],
)
def test_options_that_rows_with_reasoning_have_no_use_for_are_refused(ner_cot, capsys, more, words):
    ner_cot([cot_row()], *more, expect=2)
    assert words in capsys.readouterr().err


def test_no_prompt_of_an_evaluation_shows_the_answers_of_the_file_that_it_evaluates(one_file, tmp_path):
    path = one_file([f"Ada {i} left ." for i in range(9)])
    (name,) = (name for name in answers.FORMATS if answers.one_type(name))
    assert len(run("eval", path, tmp_path / "out", "--answer-format", name)["test"]) == 9
    for index, row in enumerate(rows(tmp_path / "out" / "test.parquet")):
        prompt = row["prompt"][0]["content"]
        assert [i for i in range(9) if f"Ada {i} left" in prompt] == [index]


# ------------------------------------------------------------------------------------------------------------- hub


@pytest.fixture
def hub(monkeypatch):
    """What is on the hub: reference -> its folder or file on this machine, the name, the commit."""
    there = {}
    monkeypatch.setattr("data_prep.hub.fetch", lambda text: Fetched(*there[text]))
    return there


def test_a_dataset_of_the_hub_has_the_name_of_its_repository_and_its_commit_in_the_manifest(hub, one_file, tmp_path):
    snapshot = tmp_path / "snapshots" / "ce2c"
    snapshot.mkdir(parents=True)
    one_file(["Ada left ."], "snapshots/ce2c/test.jsonl")
    hub["hf:tner/wnut2017@v1"] = (snapshot, "wnut2017", "ce2c")
    assert run("eval", "hf:tner/wnut2017@v1", tmp_path / "out") == {"test": ["Ada left ."]}
    entry = manifest(tmp_path / "out")["test.parquet"]
    assert list(entry["datasets"]) == ["wnut2017"]
    assert (entry["arguments"]["corpora"], entry["hub"]) == ("hf:tner/wnut2017@v1", {"hf:tner/wnut2017": "ce2c"})


def test_its_files_may_lie_in_a_folder_data_or_be_one_file_or_in_a_folder_for_each_dataset(hub, one_file, tmp_path):
    for folder in ("a/data", "b", "c/en/data", "c/de/data"):
        (tmp_path / "ce2c" / folder).mkdir(parents=True)
        one_file(["Ada left ."], f"ce2c/{folder}/test.jsonl")
    for inside, names in (("a", ["wnut"]), ("a/data", ["wnut"]), ("b/test.jsonl", ["wnut"]), ("c", ["de", "en"])):
        hub[f"hf:o/{inside}"] = (tmp_path / "ce2c" / inside, "wnut", "ce2c")
        run("eval", f"hf:o/{inside}", tmp_path / "out")
        assert list(manifest(tmp_path / "out")["test.parquet"]["datasets"]) == names
    run("eval", "hf:o/a", tmp_path / "out", "--datasets", "wnut")


def test_the_folder_one_is_in_has_its_own_name(one_file, tmp_path, monkeypatch):
    (tmp_path / "news" / "data").mkdir(parents=True)
    one_file(["Ada left ."], "news/data/test.jsonl")
    for folder, path in (("news/data", "."), ("news", "."), ("news/data", "..")):
        monkeypatch.chdir(tmp_path / folder)
        run("eval", path, tmp_path / "out")
        assert list(manifest(tmp_path / "out")["test.parquet"]["datasets"]) == ["news"]


def test_an_error_names_the_hub_as_the_user_did(hub, one_file, tmp_path, capsys):
    hub["hf:o/n"] = (one_file(["Ada left ."]), "n", "ce2c")
    run("eval", "hf:o/n", tmp_path / "out", "--datasets", "other", expect=2)
    assert "hf:o/n: has no dataset 'other'; there are: n\n" in capsys.readouterr().err


def test_rows_with_reasoning_can_be_on_the_hub(hub, tmp_path, capsys):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.jsonl").write_text(json.dumps(cot_row(number)) + "\n")
    (folder / "README.md").write_text("x")
    hub["hf:o/cot"] = (folder, "cot", "ce2c")
    hub["hf:o/cot@old/1.jsonl"] = (folder / "1.jsonl", "cot", "0ld")
    out = tmp_path / "out"
    args = ["sft", "--out", str(out), "--ner-cot", "hf:o/cot"]
    assert main(args) == 0
    assert len(rows(out / "train.parquet")) == 2
    entry = manifest(out)["train.parquet"]
    assert (entry["arguments"]["ner_cot"], entry["hub"]) == (["hf:o/cot"], {"hf:o/cot": "ce2c"})
    assert main([*args, "--dev-ner-cot", "hf:o/cot@old/1.jsonl"]) == 0
    hubs = manifest(out)["train.parquet"]["hub"]
    assert hubs == {"hf:o/cot": "ce2c", "hf:o/cot@old/1.jsonl": "0ld"}
    hub["hf:o/cot"] = (tmp_path / "out", "cot", "ce2c")
    assert main(args) == 2
    assert "hf:o/cot: holds no file of rows with reasoning (NER-CoT)" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- CoNLL and B2NERD


def write_columns(folder, name, **splits):
    (folder / name).mkdir(parents=True)
    for split, sentences in splits.items():
        text = "\n\n".join("\n".join(f"{token} {tag}" for token, tag in sentence) for sentence in sentences)
        (folder / name / f"{split}.txt").write_text(text + "\n")


@pytest.fixture
def news(tmp_path):
    """A corpus in columns, called CoNLL 2003: 200 train, 20 dev and 10 test sentences."""

    def sentence(number):
        return [("Ada", "B-PER"), (f"no.{number}", "I-PER"), ("met", "O"), ("EU", "B-ORG"), ("Poles", "B-MISC")]

    splits = {"train": range(200), "valid": range(200, 220), "test": range(220, 230)}
    write_columns(tmp_path / "columns", "CoNLL 2003", **{name: map(sentence, part) for name, part in splits.items()})
    return tmp_path / "columns"


def test_a_corpus_in_columns_becomes_rows_and_its_files_stand_in_the_manifest(news, tmp_path):
    out = tmp_path / "out"
    assert main(["sft", "--corpora", str(news), "--no-cot", "--out", str(out)]) == 0
    row = rows(out / "dev.parquet")[0]
    assert row["extra_info"]["sentence"] == "Ada no.200 met EU Poles"
    assert row["messages"][1]["content"] == json_answer.render_entities(
        [Entity("Ada no.200", "per"), Entity("EU", "org")]
    )
    entry = manifest(out)["train.parquet"]
    assert entry["datasets"]["CoNLL 2003"]["noted"] == {"residual_entity": 200}
    # The types are those of all splits, so all of them went in.
    assert [Path(path).name for path in entry["sources"]] == ["test.txt", "train.txt", "valid.txt"]


def test_the_columns_can_be_named(tmp_path):
    write_columns(tmp_path / "columns", "a", test=[[("1 Ada", "B-PER _")]])
    args = ["eval", "--corpora", str(tmp_path / "columns"), "--out", str(tmp_path / "out")]
    assert main([*args, "--columns", "2,3"]) == 0
    assert sentences(tmp_path / "out" / "test.parquet") == ["Ada"]
    assert manifest(tmp_path / "out")["test.parquet"]["arguments"]["columns"] == [2, 3]
    for wrong in ("1", "1,1", "0,2", "a,b", "1,2,3"):
        with pytest.raises(SystemExit, match="2"):
            main([*args, "--columns", wrong])


def reading(*more, command="eval"):
    """What the options make of the reading."""
    args = parser("x").parse_args([command, "--corpora", "c", "--out", "o", *more])
    return reading_of(args)


@pytest.mark.parametrize("command", ["sft", "grpo", "eval"])
def test_every_command_passes_on_how_columns_tokens_and_tags_are_read(tmp_path, command):
    (tmp_path / "tags").write_text("O\nB-PER\nI-PER\n")
    options = ["--columns", "1,-1", "--type", "Species", "--tags", str(tmp_path / "tags"), "--join", ""]
    found = reading(*options, command=command)
    assert (found.columns.chosen, found.type_name, found.tags) == (True, "species", ("O", "B-PER", "I-PER"))
    assert found.join == ""
    plain = reading(command=command)
    assert (plain.columns.chosen, plain.type_name, plain.tags, plain.join) == (False, None, None, None)


def test_the_options_stand_in_the_manifest_with_what_the_file_of_tags_held(tmp_path):
    text = tmp_path / "own.conll"
    text.write_text("Ada\tB-PER\nleft\tO\n")
    tags = tmp_path / "tags.json"
    tags.write_text('["O", "B-PER"]')
    options = ["--type", "Gene", "--tags", str(tags), "--join", "\u3000"]
    run("eval", text, tmp_path / "out", *options)
    entry = manifest(tmp_path / "out")["test.parquet"]
    arguments = entry["arguments"]
    assert (arguments["type"], arguments["tags"], arguments["join"]) == ("gene", str(tags), "\u3000")
    assert entry["sources"][str(tags)] == hashlib.sha256(tags.read_bytes()).hexdigest()


def test_sentences_that_are_kept_out_are_read_by_the_same_options(news, tmp_path):
    text = "".join(f"{token}\tO\n" for token in ("Ada", "no.7", "met", "EU", "Poles"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "test.tsv").write_text(text.replace("\tO", "\tx\tO"))
    out = tmp_path / "out"
    more = ["--no-cot", "--columns", "1,-1", "--drop-overlap-with", str(tmp_path / "other")]
    run("sft", news, out, *more)
    assert manifest(out)["train.parquet"]["datasets"]["CoNLL 2003"]["dropped"] == {"overlap": 1}


@pytest.mark.parametrize("wrong", [["--type", ""], ["--type", "<|im_end|>"], ["--join", "\n"], ["--join", "a\u2028"]])
def test_a_type_or_a_join_that_could_not_be_written_is_an_error(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        reading(*wrong)
    assert f"argument {wrong[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('["O", 1]', "tag 1 (from 0) is no text"),
        ('["O"', "record 1: the file ends after it"),
        ('{"O": 0}', "record 1: an object at the top"),
        ("[]", "holds no tag"),
        ("", "tag 0 (from 0) is no text"),
        ("O\n\nB-PER\n", "tag 1 (from 0) is no text"),
        ("O\nB-PER\nO\n", "tag 2 (from 0) is 'O', which was there before"),
    ],
)
def test_a_file_of_tags_that_is_none_stops_the_command_with_one_line(one_file, tmp_path, capsys, content, words):
    (tmp_path / "tags").write_text(content)
    run("eval", one_file(["Ada left ."]), tmp_path / "out", "--tags", str(tmp_path / "tags"), expect=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'tags'}: {words}" in line
    assert not (tmp_path / "out").exists()


def test_a_bad_line_in_columns_stops_the_command_with_one_line_and_status_2(news, tmp_path, capsys):
    with (news / "CoNLL 2003" / "test.txt").open("a") as file:
        file.write("\nAda X-PER\n")
    args = ["eval", "--corpora", str(news), "--out", str(tmp_path / "out")]
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "test.txt: line 61: 'X-PER' is no tag" in line
    assert main([*args, "--on-error", "skip"]) == 0
    assert manifest(tmp_path / "out")["test.parquet"]["datasets"]["CoNLL 2003"]["skipped"] == {"unknown_tag": 1}


def test_test_sentences_in_columns_can_be_kept_out_of_the_training_rows(news, tmp_path):
    other = tmp_path / "other"
    write_columns(other, "x", test=[[("Ada", "O"), ("no.7", "O"), ("met", "O"), ("EU", "O"), ("Poles", "O")]])
    args = [
        "sft",
        "--corpora",
        str(news),
        "--no-cot",
        "--drop-overlap-with",
        str(other),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(args) == 0
    assert manifest(tmp_path / "out")["train.parquet"]["datasets"]["CoNLL 2003"]["dropped"] == {"overlap": 1}


def test_datasets_of_b2nerd_without_the_split_are_left_out_with_a_note(instructuie, record, tmp_path, capsys):
    root = instructuie("train only", train=[record(1)])
    root = instructuie("test only", test=[record(2)])
    (tmp_path / "B2NERD").mkdir()
    root.rename(tmp_path / "B2NERD" / "NER_en")
    out = tmp_path / "out"
    assert main(["eval", "--corpora", str(tmp_path / "B2NERD"), "--out", str(out)]) == 0
    assert "no test split, so left out: train only" in capsys.readouterr().err
    assert {row["data_source"] for row in rows(out / "test.parquet")} == {"test only"}
    assert main(["eval", "--corpora", str(tmp_path / "B2NERD"), "--datasets", "train only", "--out", str(out)]) == 2


# -------------------------------------------------------------------------------------------------------- protocols


@pytest.fixture
def zero_shot(instructuie, record, tmp_path):
    """Runs `eval --protocol zero_shot_7` where two of its datasets are; the folder it wrote."""
    instructuie("CrossNER_AI", labels=["person", "place", "else"], test=[record(1)])
    root = instructuie("mit-movie", test=[record(2), record(3)])
    instructuie("news", test=[record(4)])

    def run(*args, expect=0):
        command = ["eval", "--corpora", str(root), "--protocol", "zero_shot_7", "--out", str(tmp_path / "out"), *args]
        assert main(command) == expect
        return tmp_path / "out"

    return run


def test_a_protocol_takes_its_datasets_and_says_which_are_not_there(zero_shot, capsys):
    out = zero_shot()
    assert [row["data_source"] for row in rows(out / "test.parquet")] == ["mit-movie", "mit-movie", "CrossNER_AI"]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("protocol"))
    assert line.startswith("protocol zero_shot_7: not here, and so partial: mit-restaurant, CrossNER_literature")
    missing = ["mit-restaurant", "CrossNER_literature", "CrossNER_music", "CrossNER_politics", "CrossNER_science"]
    protocol = {"name": "zero_shot_7", "present": ["mit-movie", "CrossNER_AI"], "missing": missing}
    assert manifest(out)["test.parquet"]["protocol"] == protocol


def test_a_protocol_of_which_nothing_is_there_is_an_error_that_says_what_is(corpus, tmp_path, capsys):
    args = ["eval", "--corpora", str(corpus), "--protocol", "zero_shot_7", "--out", str(tmp_path / "out")]
    assert main(args) == 2
    assert (
        "none of the 7 datasets of zero_shot_7 has a test split there; there are: a b, c, d" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_a_split_can_be_asked_for_instead_of_the_protocols(zero_shot, capsys):
    zero_shot("--split", "dev", expect=2)
    assert "has a dev split" in capsys.readouterr().err


def low_resource(root, out, percent, seed=42, command=("sft", "--no-cot")):
    protocol = f"low_resource_conll03_{percent}"
    command = [*command, "--corpora", str(root), "--protocol", protocol, "--seed", str(seed), "--out", str(out)]
    assert main(command) == 0
    return sentences(out / "train.parquet")


def test_low_resource_shares_are_exact_nested_and_another_ones_for_another_seed(news, tmp_path):
    one, five, ten = (low_resource(news, tmp_path / str(percent), percent) for percent in (1, 5, 10))
    assert (len(one), len(five), len(ten)) == (2, 10, 20)
    assert set(one) < set(five) < set(ten)
    assert set(low_resource(news, tmp_path / "seed", 10, seed=43)) != set(ten)


def test_grpo_takes_the_same_share_as_sft(news, tmp_path):
    grpo = low_resource(news, tmp_path / "grpo", 5, command=("grpo", "--num-dev", "5"))
    assert set(grpo) == set(low_resource(news, tmp_path / "sft", 5))


@pytest.mark.parametrize(
    ("protocol", "more", "words"),
    [
        ("zero_shot_7", [], "trains on none of its datasets"),
        ("low_resource_conll03_5", ["--num-samples", "7"], "takes 0.05 of train; give no other amount"),
        ("supervised_20", ["--share", "0.5", "--num-samples", "7"], "give one of them"),
    ],
)
def test_a_protocol_and_another_amount_or_nothing_to_train_on_are_an_error(
    news, tmp_path, capsys, protocol, more, words
):
    args = ["sft", "--corpora", str(news), "--no-cot", "--out", str(tmp_path / "out"), "--protocol", protocol, *more]
    assert main(args) == 2
    assert words in capsys.readouterr().err


def test_a_protocol_goes_with_corpora_alone(tmp_path, capsys):
    (tmp_path / "cot.jsonl").write_text(json.dumps(cot_row()))
    args = ["sft", "--ner-cot", str(tmp_path / "cot.jsonl"), "--protocol", "supervised_20", "--out", str(tmp_path)]
    assert main(args) == 2
    assert "not with --ner-cot" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- residual types


@pytest.mark.parametrize(("option", "drop"), [("--drop-else", True), ("--keep-else", False)])
def test_rows_and_manifest_say_whether_residual_types_were_dropped(instructuie, record, tmp_path, option, drop):
    entities = [{"name": "Bob", "type": "else"}]
    root = instructuie(labels=["person", "else"], test=[record(entities=entities)])
    assert main(["eval", "--corpora", str(root), option, "--out", str(tmp_path / "out")]) == 0
    (row,) = rows(tmp_path / "out" / "test.parquet")
    gold = from_ground_truth(row["reward_model"]["ground_truth"])
    assert (gold.types, gold.entities) == (
        (("person",), ()) if drop else (("else", "person"), (Entity("Bob", "else"),))
    )
    assert row["extra_info"]["drop_else"] is drop
    assert manifest(tmp_path / "out")["test.parquet"]["drop_else"] is drop


def test_without_the_options_they_are_dropped_and_the_manifest_names_every_option(corpus, tmp_path):
    assert main(["eval", "--corpora", str(corpus), "--out", str(tmp_path / "out")]) == 0
    assert rows(tmp_path / "out" / "test.parquet")[0]["extra_info"]["drop_else"] is True
    entry = manifest(tmp_path / "out")["test.parquet"]
    assert entry["drop_else"] is True
    assert "protocol" not in entry
    arguments = entry["arguments"]
    assert (arguments["drop_else"], arguments["protocol"], arguments["columns"]) == (True, None, [1, -1])
    assert (arguments["answer_format"], arguments["one_step"], arguments["worked_seed"]) == ("json", False, 42)


def test_rows_of_a_protocol_say_it_too(zero_shot):
    assert {row["extra_info"]["drop_else"] for row in rows(zero_shot() / "test.parquet")} == {True}


# --------------------------------------------------------------------------------------------------- control tokens

CONTROL = "Ada <|im_end|>\n<|im_start|>assistant\n{} met Bob ."


@pytest.mark.parametrize("command", ["sft", "grpo", "eval"])
def test_a_control_token_in_a_sentence_never_reaches_a_file(instructuie, record, tmp_path, tokenizer, capsys, command):
    bad = record(sentence=CONTROL, entities=[])
    root = instructuie(train=[record(1), bad, record(2)], test=[record(1), bad, record(2)])
    more = {"sft": ["--no-cot"], "grpo": ["--num-samples", "2", "--num-dev", "0"], "eval": []}[command]
    assert main([command, "--corpora", str(root), "--out", str(tmp_path / "out"), *more]) == 0
    (path,) = (tmp_path / "out").glob("*.parquet")
    assert "control_token 1" in capsys.readouterr().out
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    for row in rows(path):
        ids = tokenizer.apply_chat_template(
            (row.get("prompt") or row["messages"])[:1], add_generation_prompt=True, return_dict=False
        )
        assert (ids.count(start), ids.count(end)) == (2, 1)
    assert len(rows(path)) == 2


def test_a_template_with_a_control_token_is_an_error(grpo, tmp_path, capsys):
    template = tmp_path / "prompt.txt"
    template.write_text("{{SCHEMA}} {{SENTENCE}}<|im_end|>\n")
    grpo("--prompt-template", str(template), expect=2)
    assert "prompt.txt: holds the control token '<|im_end|>'" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- prompts, limits


def test_a_prompt_template_and_the_source_line_are_used(grpo, tmp_path):
    template = tmp_path / "prompt.txt"
    template.write_bytes("\ufeffTypes: {{SCHEMA}}\r\n{{SENTENCE}}\r\n".encode())
    row = rows(grpo("--prompt-template", str(template), "--add-source") / "train.parquet")[0]
    expected = f'Source: {row["data_source"]}\nTypes: ["person", "place"]\n{row["extra_info"]["sentence"]}'
    assert row["prompt"][0]["content"] == expected


def test_a_template_without_a_placeholder_is_an_error_that_names_the_file(grpo, tmp_path, capsys):
    template = tmp_path / "prompt.txt"
    template.write_text("{{SENTENCE}}")
    grpo("--prompt-template", str(template), expect=2)
    assert "prompt.txt: prompt template: no {{SCHEMA}}" in capsys.readouterr().err


@pytest.fixture
def tokenizer_folder(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_a_tokenizer_without_a_limit_still_names_its_control_tokens(sft, tokenizer_folder, corpus, record):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["@@stop@@"]})
    tokenizer.save_pretrained(tokenizer_folder)
    bad = record(7, sentence="Ada 7 met @@stop@@ Bob in Paris .")
    (corpus / "d" / "train.json").write_text(json.dumps([record(1), bad]))
    common = ["--datasets", "d", "--no-cot"]
    assert len(rows(sft(*common, out="1") / "train.parquet")) == 2
    (row,) = rows(sft(*common, "--tokenizer", str(tokenizer_folder), out="2") / "train.parquet")
    assert "@@stop@@" not in row["messages"][0]["content"]


def test_a_row_over_a_limit_is_dropped_whole_and_counted(sft, tokenizer_folder, tokenizer, corpus, record):
    long = record(7, sentence="Ada 7 met Bob in Paris . " * 50)
    (corpus / "d" / "train.json").write_text(json.dumps([record(1), long]))
    row = rows(sft("--datasets", "d", "--no-cot", out="1") / "train.parquet")[0]
    prompt = len(encode_prompt(tokenizer, row["messages"][:1]))
    total = prompt + len(tokenizer(row["messages"][1]["content"])["input_ids"]) + 1
    limits = ["--datasets", "d", "--no-cot", "--tokenizer", str(tokenizer_folder)]
    for flag, limit in (("--max-prompt-tokens", prompt), ("--max-tokens", total)):
        out = sft(*limits, flag, str(limit), out="2")
        assert sentences(out / "train.parquet") == [record(1)["sentence"]]
        assert manifest(out)["train.parquet"]["datasets"]["d"]["dropped"] == {"too_long": 1}
        sft(*limits, flag, str(limit - 1), out="3", expect=2)


def test_a_limit_without_a_tokenizer_is_an_error(grpo, capsys):
    grpo("--max-prompt-tokens", "100", expect=2)
    assert "need --tokenizer DIR" in capsys.readouterr().err


def test_a_folder_without_a_tokenizer_is_an_error(grpo, tmp_path, capsys):
    grpo("--tokenizer", str(tmp_path), expect=2)
    assert "no tokenizer that can be loaded" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- overlap


def test_sentences_of_the_test_set_are_dropped_from_train_and_dev(grpo, corpus, record):
    for name, _split, number in (("a b", "train", 3), ("d", "train", 4), ("c_sample_15000", "dev", 105)):
        test = corpus / name / "test.json"
        changed = record(number)["sentence"].upper().replace(" ", "  ")
        test.write_text(json.dumps([record(sentence=changed)]))
    out = grpo("--drop-overlap-with", str(corpus))
    dropped = {
        (split, name): entry["dropped"]
        for split in ("train", "dev")
        for name, entry in manifest(out)[f"{split}.parquet"]["datasets"].items()
        if entry["dropped"]
    }
    twice = {"overlap": 2}  # both sentences stand in the train split of each of these
    assert dropped[("train", "a b")] == twice
    assert dropped[("dev", "c")] == {"overlap": 1}


def test_a_parquet_file_written_here_can_be_kept_out(grpo, corpus, tmp_path, record):
    (corpus / "d" / "test.json").write_text(json.dumps([record(3)]))
    assert main(["eval", "--corpora", str(corpus), "--out", str(tmp_path / "eval")]) == 0
    out = grpo("--drop-overlap-with", str(tmp_path / "eval" / "test.parquet"), "--num-samples", "97")
    assert record(3)["sentence"] not in sentences(out / "train.parquet")


def test_a_path_that_holds_no_sentences_is_an_error(grpo, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    grpo("--drop-overlap-with", str(tmp_path / "empty"), expect=2)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    grpo("--drop-overlap-with", str(tmp_path / "bad.parquet"), expect=2)
    assert capsys.readouterr().err.count("\n") == 2


def test_case_and_white_space_make_no_other_sentence():
    assert sentence_key("Ada  met\tBob") == sentence_key(" ada MET bob ")
    assert sentence_key("Ada met Bob") != sentence_key("Ada met Rob")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zo\u00eb left", "ZOE\u0308 left"),
        ("q\u0323\u0307 left", "q\u0307\u0323 left"),
        ("\uac00\ub294 \uae38", "\u1100\u1161\u1102\u1173\u11ab \u1100\u1175\u11af"),
        ("Ada\u00adlina\u200b left", "\ufeffadalina left"),
        ("\u1f80 left", "\u1f00\u0399 left"),
    ],
)
def test_sentences_agree_where_they_look_alike(one, other):
    assert sentence_key(one) == sentence_key(other)


def test_a_sentence_of_many_marks_has_its_key_in_linear_time():
    marks = "\u0323\u0307" * 200_000
    with linear_time():
        assert sentence_key("q" + marks) == sentence_key("Q" + marks)


def test_an_overlap_is_found_however_a_letter_is_written(one_file, tmp_path):
    path = one_file(["Zo\u00eb left .", "Ada left ."])
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"sentence": "Zoe\u0308\u00a0left\u200b .", "entities": []}]))
    run("sft", path, tmp_path / "out", "--no-cot", "--drop-overlap-with", str(other))
    assert manifest(tmp_path / "out")["train.parquet"]["datasets"]["own"]["dropped"] == {"overlap": 1}


# ---------------------------------------------------------------------------------------------------------- refusal


def test_a_gold_that_its_own_answer_does_not_give_back_is_refused():
    not_normalised = Example("Ada .", ("person",), (Entity("Ada", "Person"),))
    assert refusal(not_normalised, RowRules()) == "gold_not_read"


@pytest.mark.parametrize(
    ("entities", "overlap"),
    [
        ((Entity("Lima", "fruit", 0), Entity("Lima", "place", 14)), False),
        ((Entity("Lima", "place", 14),), False),
        ((Entity("Lima", "fruit", 0), Entity("Lima", "place", 0)), True),
        ((Entity("Lima beans", "fruit", 0), Entity("beans in", "place", 5)), True),
    ],
)
def test_one_tag_for_a_word_cannot_say_what_overlaps_and_nothing_else(entities, overlap):
    example = Example("Lima beans in Lima", ("fruit", "place"), entities, format="bio")
    assert (refusal(example, RowRules(format="bio")) == "not_expressible") is overlap


def test_an_entity_free_sentence_is_a_row():
    assert refusal(Example("Nobody .", ("person",)), RowRules()) is None


def test_a_name_that_the_sentence_does_not_hold_is_reported(sft, corpus, record, capsys):
    (corpus / "d" / "train.json").write_text(json.dumps([record(entities=[{"name": "Rome", "type": "place"}])]))
    sft("--datasets", "d", "--no-cot")
    assert "d: 1 of 1, name_not_in_sentence 1" in capsys.readouterr().out


def test_a_name_that_is_there_less_often_than_it_is_annotated_is_reported_too(sft, corpus, record, capsys):
    paris = {"name": "Paris", "type": "place"}
    entities = {"twice of one": [paris, paris], "one has its place": [paris, {**paris, "pos": [10, 15]}]}
    for each in entities.values():
        (corpus / "d" / "train.json").write_text(json.dumps([record(sentence="Ada is in Paris .", entities=each)]))
        sft("--datasets", "d", "--no-cot")
        assert "d: 1 of 1, name_not_in_sentence 1" in capsys.readouterr().out
    twice = record(sentence="Paris is Paris .", entities=[paris, paris])
    (corpus / "d" / "train.json").write_text(json.dumps([twice]))
    sft("--datasets", "d", "--no-cot")
    assert "name_not_in_sentence" not in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- files and errors


def run_script(*args, cwd, **env):
    script = ROOT / "data_prep" / "to_parquet.py"
    command = [sys.executable, str(script), *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env})


def test_a_bad_record_stops_the_command_with_one_line_status_2_and_nothing_written(corpus, record, tmp_path):
    (corpus / "d" / "train.json").write_text(json.dumps([record(1), {"sentence": "x"}]))
    args = ["sft", "--corpora", corpus, "--datasets", "a b", "d", "--no-cot", "--out", tmp_path / "x" / "out"]
    done = run_script(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2  # the other is the note that d has no dev split
    assert "d/train.json: record 2: lacks 'entities'" in done.stderr
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".to_parquet*"))


@pytest.mark.parametrize("content", [b"", b"[{", b"{}\n{}\n", "[]".encode("utf-16"), b"[" * 20000, b'"x"', b"{}"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_bad_file_stops_even_where_records_are_skipped(instructuie, record, tmp_path, capsys, content, split):
    root = instructuie(**{"train": [record()], "test": [record()], split: content})
    for command in (["sft", "--no-cot"], ["grpo", "--num-dev", "0"]) if split == "train" else (["eval"],):
        out = tmp_path / "out"
        assert main([*command, "--corpora", str(root), "--out", str(out), "--on-error", "skip"]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
        assert len(errors) == 1
        assert f"toy/{split}.json" in errors[0]
        assert not out.exists()


@pytest.mark.parametrize("missing", ["train.json", "labels.json"])
def test_a_missing_file_stops_before_anything_is_read(grpo, corpus, capsys, missing):
    (corpus / "d" / missing).unlink()
    grpo(expect=2)
    assert f"d/{missing}: no such file" in capsys.readouterr().err


def test_skipped_records_are_counted_by_reason_and_totals_stay_exact(grpo, corpus, record):
    train = [record(1), 5, {"sentence": "x"}, {"sentence": "x"}, *(record(i) for i in range(2, 12))]
    (corpus / "d" / "train.json").write_text(json.dumps(train))
    out = grpo("--on-error", "skip")
    entry = manifest(out)["train.parquet"]["datasets"]["d"]
    assert entry["skipped"] == {"no_entities": 2, "not_an_object": 1}
    assert entry["records"] == 14
    assert len(rows(out / "train.parquet")) == 40


def test_an_error_leaves_earlier_files_as_they_were(grpo, corpus):
    out = grpo()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (corpus / "d" / "train.json").write_text("[")
    grpo(expect=2)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_out_that_is_a_file_is_an_error(grpo, tmp_path, capsys):
    (tmp_path / "out").write_text("x")
    grpo(expect=2)
    assert "--out names a folder" in capsys.readouterr().err


def test_the_manifest_says_what_went_in_and_what_came_out(grpo, corpus):
    out = grpo("--datasets", "a b")
    entry = manifest(out)["train.parquet"]
    source = corpus / "a b" / "train.json"
    assert entry["sources"][str(source)] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert entry["sha256"] == hashlib.sha256((out / "train.parquet").read_bytes()).hexdigest()
    assert (entry["command"], entry["arguments"]["seed"], entry["rows"]) == ("grpo", 42, 40)
    assert "python" in entry["versions"]


def test_rows_are_written_group_by_group(grpo, monkeypatch):
    monkeypatch.setattr(ner_output, "ROW_GROUP", 16)
    file = pq.ParquetFile(grpo() / "train.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [16, 16, 8]


@pytest.mark.parametrize("command", [[], ["sft"], ["grpo"], ["eval"]])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert f"python data_prep/to_parquet.py {' '.join(command)}" in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--type", "person"], ["--join", ""], ["--columns", "1,2"], ["--tags", "tags.txt"]])
def test_an_option_that_no_file_has_a_use_for_is_refused(grpo, tmp_path, monkeypatch, capsys, more):
    monkeypatch.chdir(tmp_path)
    Path("tags.txt").write_text("O\nB-person\n")
    out = grpo(*more, expect=2)
    assert f"{more[0]}: no use for the layout of what is read here (a b, c, d); leave it out" in capsys.readouterr().err
    assert not out.exists()
    Path("test.conll").write_text("Ada\tB-person\n.\tO\n")
    grpo(*more, "--drop-overlap-with", "test.conll")


def test_gliner_has_a_use_for_what_joins_tokens_alone(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"tokenized_text": ["Ada", "left"], "ner": [[0, 0, "person"]]}) + "\n")
    assert run("eval", path, tmp_path / "out", "--join", "_") == {"test": ["Ada_left"]}
    run("eval", path, tmp_path / "no", "--join", "_", "--type", "person", expect=2)
    assert "--type: no use for" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- the twelve datasets


def test_grpo_on_the_twelve_datasets_is_exact_and_small(ner_data, tmp_path):
    # VmHWM and not ru_maxrss: the latter starts at what the process that runs the tests takes.
    code = (
        "import re, sys; from data_prep.to_parquet import main; status = main(sys.argv[1:]);"
        "peak = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read()).group(1);"
        "print(int(peak) / 1024); sys.exit(status)"
    )
    args = ["grpo", "--corpora", str(ner_data), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 500  # megabytes
    train, dev = tmp_path / "out" / "train.parquet", tmp_path / "out" / "dev.parquet"
    assert (pq.read_metadata(train).num_rows, pq.read_metadata(dev).num_rows) == (5000, 300)


@pytest.mark.parametrize(
    ("name", "said"), [("", "is a folder; name its files"), ("none.jsonl", "no such file; name one")]
)
def test_rows_with_reasoning_are_files_that_are_there(tmp_path, capsys, name, said):
    path = tmp_path / name
    for option in (["--ner-cot", str(path)], ["--ner-cot", __file__, "--dev-ner-cot", str(path)]):
        assert main(["sft", *option, "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err == f"to_parquet.py: {path}: {said} of rows with reasoning (NER-CoT)\n"


def test_bad_records_are_skipped_where_worked_examples_are_drawn_too(tmp_path):
    sound = [{"text": f"Ada {n} left .", "label": [[0, 3, "PER"]]} for n in range(3)]
    for split, rows in (("dev", [*sound, {"text": "Ada"}]), ("test", sound)):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("eval", tmp_path, tmp_path / "out", "--answer-format", "entity_tags", "--on-error", "skip")


def test_many_names_are_not_all_listed(tmp_path, capsys):
    for number in range(60):
        (tmp_path / f"dataset_{number}").mkdir()
        (tmp_path / f"dataset_{number}" / "test.jsonl").write_text('{"text": "Ada left", "label": [[0, 3, "PER"]]}\n')
    run("eval", tmp_path, tmp_path / "out", "--datasets", "none", expect=2)
    assert ": has no dataset 'none'; there are: dataset_0, dataset_1, " in (said := capsys.readouterr().err)
    assert said.endswith(" and 52 more\n")


def test_a_path_that_is_no_text_is_refused_and_a_file_that_is_called_so_is_read(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "test-\udcff.jsonl").write_text('{"text": "Ada left", "label": [[0, 3, "PER"]]}\n')
    run("eval", tmp_path / "a", tmp_path / "out")
    assert [path[-12:] for path in manifest(tmp_path / "out")["test.parquet"]["sources"]] == ["test-\udcff.jsonl"]
    run("eval", tmp_path / "\udcfe", tmp_path / "out", expect=2)
    assert capsys.readouterr().err.endswith("udcfe' is no UTF-8 text; rename what is called so\n")


def test_a_list_of_types_that_is_lacking_is_not_called_a_split(tmp_path, capsys):
    (tmp_path / "test.json").write_text('[{"sentence": "Ada left", "entities": [{"name": "Ada", "type": "person"}]}]')
    run("eval", tmp_path, tmp_path / "out", expect=2)
    assert capsys.readouterr().err.endswith("/labels.json: no such file; it lists the dataset's types\n")


@pytest.mark.parametrize("option", ["--ner-cot", "--dev-ner-cot"])
def test_a_file_of_rows_that_is_named_twice_is_refused(tmp_path, capsys, option):
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text(json.dumps(cot_row(1)) + "\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "one.jsonl")
    others = [] if option == "--ner-cot" else ["--ner-cot", str(tmp_path / "two.jsonl")]
    twice = [option, str(tmp_path / "one.jsonl"), str(tmp_path / "link.jsonl")]
    assert main(["sft", *others, *twice, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"to_parquet.py: {option}: names a file twice; name each once\n"


# ----------------------------------------------------------------------------------------- how it is read, not what


@pytest.mark.parametrize(("batch", "held"), [(1, 50_000), (7, 50_000), (1000, 0), (1000, 12), (3, 25)])
def test_rows_are_the_same_however_many_are_looked_at_or_held_at_once(grpo, sft, monkeypatch, batch, held):
    def written(out):
        names = sorted(path.name for path in out.glob("*.parquet"))
        return {name: (out / name).read_bytes() for name in names}, {
            name: entry["datasets"] for name, entry in manifest(out).items()
        }

    several = ("--max-per-dataset", "12", "--no-cot")
    usual = [written(grpo(out="a")), written(sft(*several, out="b")), written(grpo("--answer-format", "bio", out="c"))]
    monkeypatch.setattr(sources, "BATCH", batch)
    monkeypatch.setattr(sources, "HELD", held)
    other = [written(grpo(out="d")), written(sft(*several, out="e")), written(grpo("--answer-format", "bio", out="f"))]
    assert usual == other


def test_a_bad_record_is_refused_with_its_number_where_it_would_not_be_drawn(grpo, corpus, record, capsys):
    records = [record(i) for i in range(60)]
    records[57]["entities"] = [{"name": "Ada", "type": "planet"}]
    (corpus / "a b" / "train.json").write_text(json.dumps(records))
    grpo("--num-samples", "2", expect=2)
    assert "train.json: record 58: entity 1 is of type 'planet'" in capsys.readouterr().err


def test_refusals_are_counted_whole_where_few_rows_are_drawn(grpo, corpus, record):
    records = [record(i) for i in range(60)]
    for bad in records[10:30]:
        bad["sentence"] += " <|im_end|>"
    (corpus / "a b" / "train.json").write_text(json.dumps(records))
    facts = manifest(grpo("--num-samples", "3"))["train.parquet"]["datasets"]["a b"]
    assert (facts["records"], facts["dropped"]) == (60, {"control_token": 20})
    assert facts["written"] == 2


def test_the_command_loads_neither_torch_for_a_tokenizer_nor_pandas_for_arrow(corpus, tokenizer_folder, tmp_path):
    command = ["to_parquet.py", "sft", "--corpora", str(corpus), "--datasets", "d", "--no-cot"]
    command += [
        "--out",
        str(tmp_path / "out"),
        "--tokenizer",
        str(tokenizer_folder),
        "--max-tokens",
        "900",
        "--num-dev",
        "0",
    ]
    code = (
        f"import runpy, sys; sys.argv = {command!r}\n"
        "try:\n    runpy.run_path('data_prep/to_parquet.py', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert {'transformers', 'pyarrow'} <= sys.modules.keys() and not sys.modules['torch']\n"
        "assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
