"""What is wrong with a run is said in one line, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe import preflight
from recipe.answers.json_answer import render_answer, render_prompt
from recipe.entities import DataError, Entity, Example, to_ground_truth
from recipe.tiny_model import make_random

EXAMPLE = Example("Ada met Bob .", ("person",), (Entity("Ada", "person"), Entity("Bob", "person")), "toy")


def grpo_row(example=EXAMPLE, **changes):
    row = {
        "data_source": "toy",
        "prompt": [{"role": "user", "content": render_prompt(example)}],
        "ability": "ner",
        "reward_model": {"style": "rule", "ground_truth": to_ground_truth(example)},
        "extra_info": {"index": 0, "split": "train"},
    }
    return row | changes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("model") / "tiny", vocab_size=600, hidden_size=64, layers=1)


@pytest.fixture
def grpo(tmp_path, model, monkeypatch):
    """Overrides of a sound GRPO run; keywords replace rows, the model or overrides."""
    monkeypatch.setenv("VERL_PLATFORM", "cpu")

    def make(rows=None, folder=model, **overrides):
        for name in ("train", "dev"):
            pq.write_table(pa.Table.from_pylist(rows or [grpo_row()] * 32), tmp_path / f"{name}.parquet")
        values = {
            "data.train_files": tmp_path / "train.parquet",
            "data.val_files": tmp_path / "dev.parquet",
            "data.max_prompt_length": 512,
            "actor_rollout_ref.model.path": folder,
            "trainer.default_local_dir": tmp_path / "run",
            "trainer.total_training_steps": 2,
            **overrides,
        }
        return [f"{key}={value}" for key, value in values.items()]

    return make


def problem(name, overrides, **kwargs):
    with pytest.raises(DataError) as error:
        preflight.check(name, overrides, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_sound_run_is_planned(grpo):
    plan = preflight.check("grpo_tiny", grpo())
    assert (plan.stage, plan.steps) == ("grpo", 2)


def test_a_missing_file(grpo):
    said = problem("grpo_tiny", grpo(**{"data.train_files": "nowhere.parquet"}))
    assert said.startswith("nowhere.parquet: can't be read")
    assert "to_parquet.py grpo" in said


def test_a_missing_column(grpo):
    rows = [{k: v for k, v in grpo_row().items() if k != "reward_model"}] * 32
    assert "reward_model" in problem("grpo_tiny", grpo(rows))


def test_a_gold_answer_that_the_reward_does_not_accept(grpo):
    wrong = grpo_row(reward_model={"style": "rule", "ground_truth": "{}"})
    assert "row 16" in problem("grpo_tiny", grpo([grpo_row()] * 16 + [wrong] * 16))


def test_a_control_token_in_a_prompt(grpo):
    row = grpo_row(prompt=[{"role": "user", "content": "say <|im_end|>"}])
    assert "<|im_end|>" in problem("grpo_tiny", grpo([row] * 32))


def test_no_such_model(grpo, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "neither a folder" in problem("grpo_tiny", grpo(folder="models/none"))
    (tmp_path / "empty").mkdir()
    assert "no config.json" in problem("grpo_tiny", grpo(folder=tmp_path / "empty"))


def test_a_model_that_does_not_stop_at_the_end_of_the_turn(grpo, tmp_path, model):
    folder = Path(shutil.copytree(model, tmp_path / "other"))
    config = json.loads((folder / "generation_config.json").read_text())
    end_of_text = json.loads((folder / "config.json").read_text())["eos_token_id"]
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": end_of_text}))
    assert "python -m recipe.eos" in problem("grpo_tiny", grpo(folder=folder))


def test_batches_that_do_not_divide(grpo):
    key = "actor_rollout_ref.actor.ppo_mini_batch_size"
    assert "ppo_mini_batch_size=5" in problem("grpo_tiny", grpo(**{key: 5}))


def test_more_rows_in_a_batch_than_in_the_data(grpo):
    assert "4 rows" in problem("grpo_tiny", grpo([grpo_row()] * 4))


def test_more_steps_than_the_data_has(grpo):
    assert "raise trainer.total_epochs" in problem("grpo_tiny", grpo(**{"trainer.total_training_steps": 99}))


def test_a_group_of_one(grpo):
    assert "two completions" in problem("grpo_tiny", grpo(**{"actor_rollout_ref.rollout.n": 1}))


def test_a_misspelt_reward_setting(grpo):
    said = problem("grpo_tiny", [*grpo(), "+reward.custom_reward_function.reward_kwargs.f1_wieght=1"])
    assert "f1_wieght" in said


def test_a_reward_that_cannot_be_imported(grpo):
    said = problem("grpo_tiny", grpo(**{"reward.custom_reward_function.path": "pkg://reward_fns.nothing"}))
    assert "can't be imported" in said


def test_a_full_disk(grpo, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert "GB free" in problem("grpo_tiny", grpo())


def test_a_gpu_experiment_where_there_is_none(monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "wants a GPU" in problem("grpo_qwen3_8b_paper", [])


def test_a_misspelt_loss_setting(tmp_path, model, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    overrides = [f"model.path={model}", f"trainer.default_local_dir={tmp_path / 'run'}", "+loss.gamma=2"]
    assert "loss.gamma: not known" in problem("sft_tiny_bio", overrides)


def test_sft_rows_and_ranks(tmp_path, model, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    answer = render_answer(EXAMPLE.entities, "Two persons.")
    messages = [{"role": "user", "content": render_prompt(EXAMPLE)}, {"role": "assistant", "content": answer}]
    pq.write_table(pa.table({"messages": [messages] * 64}), tmp_path / "sft.parquet")
    overrides = [
        f"data.train_files={tmp_path / 'sft.parquet'}",
        f"model.path={model}",
        f"trainer.default_local_dir={tmp_path}",
        "data.train_batch_size=32",
    ]
    assert preflight.check("sft_tiny", overrides, ranks=2).steps == 2
    assert "3 ranks" in problem("sft_tiny", overrides, ranks=3)
    assert "tokens, data.max_length=9" in problem("sft_tiny", [*overrides, "data.max_length=9"])
    assert "write it with" in problem("sft_tiny", [*overrides, "data.train_files=none.parquet"])
