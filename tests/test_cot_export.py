"""The dataset that comes out: what the SFT stage reads, which row is in which split, and what the card says."""

import json
from pathlib import Path

import pytest
import yaml
from cot_case import annotation, lines, read_ner_cot, run, verdict, write

from data_prep.to_parquet import main as to_parquet
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.cot.card import cell
from recipe.cot.export import split_of

pytest.importorskip("pyarrow")
pytest.importorskip("datasketch")
pytest.importorskip("py3langid")

ROOT = Path(__file__).resolve().parent.parent
ROWS = 40


@pytest.fixture
def work(tmp_path):
    """ROWS sound rows, every tenth of which a judge rejects."""
    folder = write(tmp_path / "work", "annotate", (annotation(n) for n in range(ROWS)))
    run("validate", folder)
    return write(folder, "judge", (verdict(n, 5 if n % 10 == 3 else 9) for n in range(ROWS)))


def export(work, *options, splits="train=0.7,dev=0.3"):
    out = work.with_name("out")
    run("export", work, "--out", out, "--splits", splits, "--format", "ner-cot", *options)
    return out


def records(out):
    return [record for path in sorted(out.glob("*.json")) if path.name != "manifest.json" for record in read(path)]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def header(out):
    return yaml.safe_load((out / "README.md").read_text().split("---\n")[1])


# -------------------------------------------------------------------------------------------------------- contents


def test_a_record(work):
    assert records(export(work, splits="train=1"))[0] == {
        "sentence": "Ada met all of old Paris and more of it .",
        "schema": ["person", "place"],
        "source": "news",
        "cot": '"Ada" is the one who acts, hence a person. "Paris" is a town, hence a place.',
        "entities": [{"text": "Ada", "label": "person"}, {"text": "Paris", "label": "place"}],
        "guid": "0" * 16,
    }


def test_the_rows_that_the_rules_and_the_judge_kept(work):
    guids = {record["guid"] for record in records(export(work))}
    assert guids == {f"{n:016x}" for n in range(ROWS) if n % 10 != 3}


def test_without_a_judge_all_valid_rows(work):
    (work / "judge.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"judge.jsonl: not there; run `python -m recipe.cot judge`, or give --no-judge"
    ):
        export(work)
    assert len(records(export(work, "--no-judge"))) == ROWS


def test_what_is_read_back_is_what_was_kept(work):
    out = export(work, splits="train=1")
    wanted = [row for row in lines(work, "validate") if int(row["id"], 16) % 10 != 3]
    assert list(read_ner_cot(out / "train.json")) == [
        Example(
            row["sentence"],
            tuple(row["types"]),
            tuple(Entity(entity["text"], entity["label"]) for entity in row["entities"]),
            row["source"],
            row["reasoning"],
        )
        for row in wanted
    ]


# ---------------------------------------------------------------------------------------------------------- splits


def test_splits_have_about_their_share():
    shares = {"train": 0.5, "dev": 0.3, "test": 0.2}
    found = [split_of(f"Sentence number {n} .", shares, 42) for n in range(5000)]
    assert all(abs(found.count(split) / 5000 - share) < 0.03 for split, share in shares.items())


def test_a_sentence_is_in_one_split_whatever_its_case_and_white_space():
    shares = {"train": 0.5, "dev": 0.5}
    for n in range(100):
        assert split_of(f"Ada  met {n} .", shares, 1) == split_of(f"ADA met {n}!", shares, 1)


def test_splits_depend_on_the_seed_alone(work):
    first = export(work)
    sentences = {record["sentence"] for record in read(first / "dev.json")}
    assert {record["sentence"] for record in read(export(work) / "dev.json")} == sentences
    assert {record["sentence"] for record in read(export(work, "--seed", 1) / "dev.json")} != sentences


@pytest.mark.parametrize("splits", ["train", "train=0.5", "dev=1", "train=1,dev=0", "train=0.5,more=0.5", "train=x"])
def test_splits_that_are_none(work, splits):
    with pytest.raises(SystemExit):
        export(work, splits=splits)


# --------------------------------------------------------------------------------------------------------- Parquet


def test_the_parquet_files_are_those_of_data_preparation(work, tmp_path):
    import pyarrow.parquet as pq

    out = export(work, "--format", "both")
    made = [str(out / name) for name in ("train.json", "dev.json")]
    assert to_parquet(["sft", "--ner-cot", made[0], "--dev-ner-cot", made[1], "--out", str(tmp_path / "again")]) == 0
    for name in ("train.parquet", "dev.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        rows = pq.read_table(out / name).to_pylist()
        assert {row["extra_info"]["split"] for row in rows} == {name.removesuffix(".parquet")}
        assert len(rows) == len(read(out / name.replace("parquet", "json")))


def test_the_reasoning_is_inside_the_loss(work):
    pytest.importorskip("torch")
    from transformers import AutoTokenizer

    from sft.dataset import AnswerDataset

    out = export(work, "--format", "sft", splits="train=1")
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")
    data = AnswerDataset(str(out / "train.parquet"), tokenizer, {"max_length": 2048})
    kept = [row for row in lines(work, "validate") if int(row["id"], 16) % 10 != 3]
    assert len(data) == len(kept)
    for item, row in zip(data, kept, strict=True):
        in_loss = tokenizer.decode(item["input_ids"][item["loss_mask"] == 1])
        assert in_loss.startswith(f"<think>\n{row['reasoning']}\n</think>\n")
        assert row["sentence"] in tokenizer.decode(item["input_ids"][item["loss_mask"] == 0])


def test_rows_that_data_preparation_refuses_are_counted_in_the_card(work):
    rows = lines(work, "annotate")
    rows[0]["output"] = rows[0]["output"].replace("acts", "acts and " + "acts " * 300)
    write(work, "annotate", rows)
    (work / "validate.jsonl").unlink()
    run("validate", work)
    limit = ["--tokenizer", ROOT / "recipe" / "tiny_model" / "base", "--max-tokens", 600]
    out = export(work, "--format", "both", *limit, splits="train=1")
    assert read(out / "manifest.json")["train.parquet"]["rows"] == len(read(out / "train.json")) - 1
    assert "| train.parquet | 35 | 1 too\\_long |" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("ner-cot", {"train.json", "dev.json"}),
        ("sft", {"train.parquet", "dev.parquet"}),
        ("both", {"train.json", "dev.json", "train.parquet", "dev.parquet"}),
    ],
)
def test_one_format_or_both(work, format, names):
    out = export(work, "--format", format)
    assert {path.name for path in out.iterdir()} == names | {"README.md", "manifest.json"}
    assert set(read(out / "manifest.json")) == names


def test_dev_files_go_with_ner_cot_files(tmp_path, capsys):
    options = ["sft", "--corpora", str(tmp_path), "--dev-ner-cot", "x.json", "--no-cot", "--out", str(tmp_path / "out")]
    assert to_parquet(options) == 2
    assert "--dev-ner-cot: goes with --ner-cot" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- card, manifest


def test_the_manifest_says_where_the_rows_are_from(work):
    entry = read(export(work) / "manifest.json")["dev.json"]
    assert set(entry["sources"]) == {str(work / f"{step}.jsonl") for step in ("annotate", "validate", "judge")}
    assert entry["settings"]["annotate"]["model_name"] == "teacher"
    assert entry["counts"]["validate"]["kept"] == ROWS


def test_the_card(work):
    out = export(work, "--license", "cc-by-4.0")
    text = (out / "README.md").read_text()
    for line in (
        "| licence | cc-by-4.0 |", "| teacher | teacher |", "| judge | judge |", "| in | 40 |  |",
        "| `below_min_score` | -4 |  |", "| in this dataset | 36 |  |", "| person | 36 |", "| 5 | 4 | █████ |",
        "| annotate | 40 | 4,000 | 2,000 | 10 |", "| validate | max\\_words | 1500 |",
    ):  # fmt: skip
        assert f"{line}\n" in text
    assert header(out) == {
        "license": "cc-by-4.0",
        "language": ["en"],
        "task_categories": ["token-classification"],
        "tags": ["named-entity-recognition", "chain-of-thought", "synthetic"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [
            {"split": "train", "path": "train.json"}, {"split": "validation", "path": "dev.json"}]}],
    }  # fmt: skip


def test_a_licence_that_nobody_gave(work):
    out = export(work)
    assert header(out)["license"] == "unknown"
    assert "No licence was given" in (out / "README.md").read_text()


def test_a_licence_in_words(work):
    out = export(work, "--license", "Ask: the authors")
    assert (header(out)["license"], header(out)["license_name"]) == ("other", "Ask: the authors")


def test_names_stay_in_their_cell():
    assert cell("a|b\n<script> `x`_*") == "a\\|b &lt;script&gt; \\`x\\`\\_\\*"


def test_the_card_has_no_gaps_in_its_tables(work):
    text = (export(work) / "README.md").read_text()
    rows = text.splitlines()
    assert all(rows[i - 1].startswith("|") or not rows[i - 1] for i, row in enumerate(rows) if row.startswith("|"))
    assert "\n\n\n" not in text


# ---------------------------------------------------------------------------------------------------------- refused


def test_nothing_to_export(tmp_path):
    work = write(tmp_path / "work", "annotate", [annotation(0)])
    run("validate", work)
    write(work, "judge", [verdict(0, 3)])
    with pytest.raises(DataError, match="no row for train that is valid and kept by the judge"):
        export(work)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_an_earlier_export_is_replaced_and_nothing_else(work):
    out = export(work)
    assert (out / "dev.json").exists()
    assert not (export(work, splits="train=1") / "dev.json").exists()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds 'mine\.txt', which is no part of an export"):
        export(work)
    assert {path.name for path in work.parent.iterdir()} == {"work", "out"}


def test_a_data_preparation_that_fails_leaves_nothing(work):
    with pytest.raises(DataError, match=r"the Parquet files could not be written: .*holds no tokenizer"):
        export(work, "--format", "sft", "--tokenizer", work, "--max-tokens", 10)
    assert not work.with_name("out").exists()


def test_a_row_that_data_preparation_refuses_is_counted_and_keeps_no_other_back(tmp_path):
    thought = '"Bob" is the one who acts, and is none of the usual types.'
    other = annotation(1, types=["misc"], output=render_entities([Entity("Bob", "misc")], thought))
    work = write(tmp_path / "work", "annotate", [annotation(0), other])
    run("validate", work)
    out = work.with_name("out")
    run("export", work, "--out", out, "--splits", "train=1", "--no-judge")
    entry = read(out / "manifest.json")["train.parquet"]
    assert (entry["rows"], len(read(out / "train.json"))) == (1, 2)
    assert "| train.parquet | 1 | 1 bad\\_schema |" in (out / "README.md").read_text()


def test_limits_in_tokens_need_a_tokenizer(work):
    with pytest.raises(DataError, match="--max-tokens: needs --tokenizer"):
        export(work, "--max-tokens", 10)
