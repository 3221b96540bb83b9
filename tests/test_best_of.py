"""Rejection sampling: which answer of a prompt's samples is chosen, and the rows that SFT gets."""

import pytest
from test_difficulty import ANN, BAD, BOTH, NONE, ONE, PARIS, SETTINGS, TYPES, write_data, written

from data_prep.rows import row_schema
from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity, Example
from recipe.core.output import read_manifest
from recipe.difficulty.best_of import choose, main, sound
from recipe.difficulty.scores import score
from recipe.evaluate.rows import Row
from recipe.generate.samples import Sample, journal

pytest.importorskip("pyarrow")

EXAMPLE = Example("Ann left Paris .", TYPES, (ANN, PARIS), "news")
ROW = Row(0, "news", ({"role": "user", "content": "Who?"},), EXAMPLE)
SAID = render_entities([ANN, PARIS], "Ann is a person. Paris is a place.")


def scored(number, output, tokens=9, finish_reason="stop", example=EXAMPLE):
    return score(Sample(0, number, output, tokens, finish_reason), example)


def best(*samples, **options):
    """The number of the sample that is chosen, None for none."""
    [choice] = choose([ROW], ((ROW, one) for one in samples), **options)
    return choice.best and choice.best.sample.sample


def add(out, *outputs):
    with journal(out, SETTINGS, {"model": "models/sft"}) as (_, save):
        for index, of_row in enumerate(outputs):
            for number, output in enumerate(of_row):
                save(Sample(index, number, output, len(output), "stop"))
    return out


@pytest.fixture
def folder(tmp_path):
    """What recipe.difficulty leaves: two answers to three prompts, the gold of the second being empty."""
    data = write_data(tmp_path / "grpo")
    out = add(tmp_path / "sampled", [ONE, SAID], [NONE, ONE], [BAD, BOTH])
    written(data, out)
    return out


def rows_of(path):
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


# ----------------------------------------------------------------------------------------------------------- choice


def test_the_answer_of_highest_f1_is_chosen():
    assert best(scored(0, NONE), scored(1, ONE), scored(2, BOTH), scored(3, BAD)) == 2


def test_of_equal_ones_the_shortest_is_chosen_then_the_first():
    assert best(scored(2, BOTH, 7), scored(0, BOTH, 9), scored(1, BOTH, 7)) == 1


def test_of_equal_ones_the_first_is_chosen_where_that_is_asked_for():
    assert best(scored(2, BOTH, 7), scored(0, BOTH, 9), scored(1, BOTH, 7), ties="first") == 0


@pytest.mark.parametrize(
    "sample",
    [
        scored(0, BOTH, finish_reason="length"),
        scored(0, f"Here it is: {BOTH}"),
        scored(0, f"{BOTH}\n{BOTH}"),
        scored(0, f"<think>\nwell\n{BOTH}"),
        scored(0, f"<think>\n<think>\nwell\n</think>\n{BOTH}"),
        scored(0, f"<think>\n<|im_start|>\n</think>\n{BOTH}"),
        scored(0, BAD),
        scored(0, render_entities([ANN, PARIS, Entity("left", "verb")])),
    ],
    ids=["cut off", "text before", "twice", "open block", "two blocks", "control token", "unreadable", "off schema"],
)
def test_what_is_no_answer_to_learn_from_is_never_chosen(sample):
    assert not sound(sample, EXAMPLE)
    assert best(sample) is None


def test_an_answer_in_the_layout_that_ended_is_one_to_learn_from():
    assert sound(scored(0, SAID + "\n"), EXAMPLE)


# ------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_data_preps_own_for_sft(folder, tmp_path):
    from pyarrow import parquet

    assert main([str(folder), "--out", str(tmp_path / "best")]) == 0
    path = tmp_path / "best" / "train.parquet"
    assert parquet.read_schema(path).equals(row_schema(sft=True))
    first, second, third = rows_of(path)
    prompt = rows_of(folder / "rows.parquet")[0]["prompt"]
    assert first == {
        "data_source": "news",
        "messages": [*prompt, {"role": "assistant", "content": SAID}],
        "ability": "ner",
        "extra_info": {"index": 0, "split": "train", "dataset": "news", "sentence": "Ann left Paris .",
                       "types": ["person", "place"], "cot": "sampled"},
    }  # fmt: skip
    assert (second["messages"][-1]["content"], second["extra_info"]["cot"]) == (NONE, "none")
    assert third["messages"][-1]["content"] == BOTH


def test_answers_below_the_threshold_give_no_row(folder, tmp_path, capsys):
    assert main([str(folder), "--out", str(tmp_path / "best"), "--min-f1", "0.9"]) == 0
    assert [row["data_source"] for row in rows_of(tmp_path / "best" / "train.parquet")] == ["news", "news"]
    assert "2 rows, the best of 2 answers to 3 prompts" in capsys.readouterr().out
    entry = read_manifest(tmp_path / "best")["train.parquet"]
    assert entry["datasets"]["wiki"]["dropped"] == {"F1 too low": 1}
    assert entry["datasets"]["news"]["empty_chosen"] == entry["datasets"]["news"]["empty_gold"] == 0.5
    assert entry["arguments"] == {"answer_format": "json"}, "prediction finds it there"


def test_rows_that_sft_would_refuse_are_left_out_and_counted(tmp_path, capsys):
    thought = render_entities([ANN, PARIS], "Ann is a person. " * 100)
    data, out = write_data(tmp_path / "grpo"), add(tmp_path / "sampled", [ONE, thought], [NONE, ONE], [BAD, BOTH])
    written(data, out)

    def best_of(*limit):
        return main([str(out), "--out", str(tmp_path / "best"), *limit]), "".join(capsys.readouterr())

    limit = ("--tokenizer", "recipe/tiny_model/base", "--max-tokens")
    status, text = best_of(*limit, "400")
    assert (status, text.splitlines()[-1].split(": ")[1]) == (
        0, "2 rows, the best of 2 answers to 3 prompts, 1 too long"
    )  # fmt: skip
    assert [row["extra_info"]["sentence"] for row in rows_of(tmp_path / "best" / "train.parquet")] == [
        "Nobody came .", "Ann left ."
    ]  # fmt: skip
    entry = read_manifest(tmp_path / "best")["train.parquet"]
    assert (entry["datasets"]["news"]["dropped"], entry["selection"]["max_tokens"]) == ({"too long": 1}, 400)
    assert best_of(*limit, "4000")[1].endswith("3 rows, the best of 2 answers to 3 prompts\n")
    status, text = best_of(*limit, "5")
    assert (status, "no answer to learn from in 3 prompts (0 no sound answer, 0 F1 too low, 3 too long)" in text) == (
        2,
        True,
    )
    assert best_of("--max-tokens", "400") == (2, "best_of: --max-tokens: needs --tokenizer DIR to count with\n")
    assert best_of(*limit[:2]) == (2, "best_of: --tokenizer: counts for --max-tokens N, which isn't given\n")


def test_a_wrong_answer_is_not_chosen_for_want_of_a_better_one(tmp_path, capsys):
    data, out = write_data(tmp_path / "grpo"), add(tmp_path / "sampled", [NONE, NONE], [ONE, NONE], [NONE, BAD])
    written(data, out)
    assert main([str(out), "--out", str(tmp_path / "best"), "--min-f1", "0"]) == 0
    assert len(rows_of(tmp_path / "best" / "train.parquet")) == 1
    assert "F1 < 0\n" in capsys.readouterr().out


def test_the_table_by_hand(folder, tmp_path, capsys):
    main([str(folder), "--out", str(tmp_path / "best"), "--min-f1", "0.9"])
    _, news, wiki, every, _ = (line.split() for line in capsys.readouterr().out.splitlines())
    # F1 of all: 2/3, 1, 1, 0; of the chosen 1, 1, one of them without reasoning.
    assert news == ["news", *"22|", "100.00", "66.67", "|", "50.00", "50.00", "|", "50.00", *"|00"]
    assert wiki == ["wiki", *"10|", "0.00", "33.33", "|", "0.00", "0.00", "|", "0.00", *"|01"]
    assert every == ["all", *"32|", "100.00", "55.56", "|", "50.00", "33.33", "|", "50.00", *"|01"]


def test_the_rows_can_be_trained_on(folder, tmp_path, tokenizer):
    from sft.dataset import AnswerDataset

    main([str(folder), "--out", str(tmp_path / "best")])
    rows = AnswerDataset(str(tmp_path / "best" / "train.parquet"), tokenizer, {"max_length": 1024})
    rows.check()
    row = rows[0]
    assert tokenizer.decode(row["input_ids"][row["loss_mask"] == 1]) == f"{SAID}<|im_end|>"


# ---------------------------------------------------------------------------------------------------------- refusals


def refusal(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("best_of: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_folder_without_samples_or_without_its_table_is_refused(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "best")]
    assert main([str(tmp_path), *out]) == 2
    assert "no samples.jsonl in it; make samples with: python -m recipe.difficulty" in refusal(capsys)
    (folder / "rows.parquet").unlink()
    assert main([str(folder), *out]) == 2
    assert "rows.parquet: not there" in refusal(capsys)


def test_samples_that_are_missing_are_refused(folder, tmp_path, capsys):
    path = folder / "samples.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert main([str(folder), "--out", str(tmp_path / "best")]) == 2
    assert "1 of 6 samples are missing" in refusal(capsys)


def test_the_folder_of_the_samples_and_that_of_other_rows_are_no_place_for_these(folder, tmp_path, capsys):
    for out in (folder, tmp_path / "grpo"):
        before = (out / "train.parquet").read_bytes()
        assert main([str(folder), "--out", str(out)]) == 2
        assert "give another --out" in refusal(capsys)
        assert (out / "train.parquet").read_bytes() == before


def test_prompts_without_any_answer_to_learn_from_are_refused(tmp_path, capsys):
    data, out = write_data(tmp_path / "grpo"), add(tmp_path / "sampled", [BAD, BAD], [BAD, BAD], [NONE, NONE])
    with pytest.raises(ValueError, match="no row is kept"):
        written(data, out)
    assert main([str(out), "--out", str(tmp_path / "best")]) == 2
    assert "no answer to learn from in 3 prompts (2 no sound answer, 1 F1 too low)" in refusal(capsys)
    assert not (tmp_path / "best").exists()
