"""What is wrong with a run is said in one line, before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from random_model import make_random
from run_folders import save, validate

from recipe.answers import bio, render_prompt
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.eos import end_ids
from recipe.models.chat import encode_prompt
from recipe.models.folder import load_tokenizer
from recipe.train import __main__ as train
from recipe.train import checks as preflight

pytestmark = pytest.mark.usefixtures("any_vllm")
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


@pytest.mark.parametrize("seed", ["abc", "null", "-1", "1.5", "true"])
def test_a_seed_that_is_no_number(grpo, seed):
    assert "not a whole number" in problem("grpo_tiny", [*grpo(), f"seed={seed}"])


def test_answers_may_be_drawn_without_a_seed(grpo):
    preflight.check("grpo_tiny", [*grpo(), "data.seed=null"])


def test_a_missing_file(grpo):
    said = problem("grpo_tiny", grpo(**{"data.train_files": "nowhere.parquet"}))
    assert said.startswith("nowhere.parquet: can't be read")
    assert "to_parquet.py grpo" in said


@pytest.mark.parametrize("nothing", ["", "null", "[]"])
def test_no_file_at_all(grpo, sft, nothing):
    for split in ("train", "val"):
        said = problem("grpo_tiny", grpo(**{f"data.{split}_files": nothing}))
        assert said == f"data.{split}_files: names no file; write it with: python data_prep/to_parquet.py grpo"
    assert "data.train_files: names no file" in problem("sft_tiny", sft([turn()] * 32, **{"data.train_files": nothing}))
    assert preflight.check("sft_tiny", sft([turn()] * 32, **{"data.val_files": nothing})).steps == 1


def test_a_missing_column(grpo):
    rows = [{k: v for k, v in grpo_row().items() if k != "reward_model"}] * 32
    assert "reward_model" in problem("grpo_tiny", grpo(rows))


def test_a_gold_answer_that_the_reward_does_not_accept(grpo):
    wrong = grpo_row(reward_model={"style": "rule", "ground_truth": "{}"})
    assert "row 16" in problem("grpo_tiny", grpo([grpo_row()] * 16 + [wrong] * 16))


def test_a_reward_that_pays_nothing_for_naming_nothing_takes_rows_without_an_entity(grpo):
    kwargs = "reward.custom_reward_function.reward_kwargs"
    settings = {f"{kwargs}.{name}": 0 for name in ("schema_weight", "length_weight", "empty_value")}
    silent = Example("It rained .", ("person",), (), "toy")
    assert preflight.check("grpo_tiny", grpo([grpo_row()] * 16 + [grpo_row(silent)] * 16, **settings)).steps == 2
    said = problem("grpo_tiny", grpo(**settings, **{f"{kwargs}.{name}": 0 for name in ("f1_weight", "reasoned_weight")},
                                     **{f"{kwargs}.fidelity_weight": 1}))  # fmt: skip
    assert "row 0: its own gold answer gets 0, an unreadable one 0; give the reward other weights" in said


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
    end_of_text = end_ids(folder / "config.json")
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


@pytest.mark.parametrize(
    ("path", "remedy"),
    [("/somewhere/mine.py", "pkg://reward_fns.mine"), ("mine.py", "pkg://reward_fns.mine"), ("/somewhere", "module")],
)
def test_a_reward_that_is_a_file_or_no_name_of_a_module(grpo, path, remedy):
    said = problem("grpo_tiny", grpo(**{"reward.custom_reward_function.path": path}))
    assert path in said
    assert remedy in said


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_checkpoints_take_as_much_whatever_the_weights_are_stored_in(grpo, model, tmp_path, monkeypatch, dtype):
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(model, tmp_path / "stored"))
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    loaded.save_pretrained(folder)
    room = 3 * 12 * loaded.num_parameters()  # fp32 weights and two moments; the best, the kept one and the next
    overrides = grpo(folder=folder, **{"trainer.max_actor_ckpt_to_keep": 1})
    for free, enough in ((room, True), (room - 1, False)):
        usage = shutil._ntuple_diskusage(room, 0, free)
        monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _, usage=usage: usage)
        if enough:
            preflight.check("grpo_tiny", overrides)
        else:
            assert "free some, keep fewer" in problem("grpo_tiny", overrides)


def test_a_full_disk(grpo, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert "GB free" in problem("grpo_tiny", grpo())


def test_what_a_resume_frees_and_replaces_counts_as_room(grpo, tmp_path, monkeypatch):
    overrides = grpo()
    need = preflight.check("grpo_tiny", overrides)
    from recipe.models.checkpoints import TRACKER

    folder = tmp_path / "run" / "global_step_1" / "actor"
    (folder / "huggingface").mkdir(parents=True)
    for name in ("config.json", "tokenizer_config.json"):
        (folder / "huggingface" / name).write_text("{}")
    (folder / "fsdp_config.json").write_text('{"world_size": 1}')
    with zipfile.ZipFile(folder / "model_world_size_1_rank_0.pt", "w") as shard:
        shard.writestr("weights", b"0" * 100_000_000)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert "GB free" in problem("grpo_tiny", overrides), "the folder isn't a run's yet"
    (tmp_path / "run" / TRACKER).write_text("1")
    assert preflight.check("grpo_tiny", overrides).steps == need.steps
    assert "GB free" in problem("grpo_tiny", [*overrides, "trainer.max_actor_ckpt_to_keep=null"])


def test_a_run_that_is_done_needs_no_disk(grpo, tmp_path, monkeypatch):
    overrides = grpo()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "latest_checkpointed_iteration.txt").write_text("2")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert preflight.check("grpo_tiny", overrides).steps == 2


def test_a_run_that_ended_early_is_left_alone_and_needs_no_disk(grpo, tmp_path, monkeypatch, capsys):
    overrides = [*grpo(), "trainer.test_freq=1"]
    (tmp_path / "run").mkdir()
    validate(save(tmp_path / "run", 1), {0: 0.5, 1: 0.4})
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert "GB free" in problem("grpo_tiny", overrides), "without patience it goes on"
    assert train.main(["grpo_tiny", *overrides, "--patience", "1"]) == 0
    assert f"{tmp_path / 'run'}: ended early after step 1 of 2: one validation was not" in capsys.readouterr().out
    assert train.main(["grpo_tiny", *overrides, "--patience", "1", "trainer.test_freq=-1"]) == 2
    assert "counts validations, and this run has none on its way" in capsys.readouterr().err


def test_a_gpu_experiment_where_there_is_none(monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "wants a GPU" in problem("grpo_qwen3_8b", [])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "wants a GPU" in problem("sft_qwen3_8b", []), "no cluster of Ray's trains it"


def test_parameters_are_those_that_will_be_loaded_in_whatever_files(model, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(model, tmp_path / "model"))
    count = preflight.backbone.parameters(folder)
    weights = load_file(folder / "model.safetensors")
    assert count == sum(weight.numel() for weight in weights.values())
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")  # the publisher's own, beside the shards
    save_file(weights, folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(weights, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert preflight.backbone.parameters(folder) == count
    for path in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        path.unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert preflight.backbone.parameters(folder) == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize(("given", "sampler"), [(None, "0"), ("1", "1")])
def test_a_sound_runs_rollouts_sample_without_a_compiler(grpo, tmp_path, monkeypatch, given, sampler):
    """Unless the user says so."""
    monkeypatch.setattr(train.tempfile, "gettempdir", lambda: str(tmp_path))  # a run of the host's own may be going on
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("VLLM_USE_FLASHINFER_SAMPLER", raising=False)
    if given:
        monkeypatch.setenv("VLLM_USE_FLASHINFER_SAMPLER", given)
    started = []
    monkeypatch.setattr(train.supervise, "run", lambda line, log, stall, environment, *_: started.append(environment))
    with mock.patch.dict(os.environ):  # a run sets more, which is not for the next tests
        train.train("grpo_tiny", grpo())
    assert [environment["VLLM_USE_FLASHINFER_SAMPLER"] for environment in started] == [sampler]


def test_what_a_run_shows_and_why_it_failed(grpo, tmp_path, monkeypatch, capsys):
    """The trainer is a stand-in that writes a log and ends with a status."""
    monkeypatch.setattr(train.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("NER_VERBOSE", raising=False)
    looks, said, overrides = [], {}, grpo()

    def run(line, log, stall, environment, watcher, look):
        looks.append(look)
        with log.open("a") as file:
            file.write(f'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: at {status}\n')
        return status

    monkeypatch.setattr(train.supervise, "run", run)
    for status, verbose in ((1, "0"), (143, "1")):
        monkeypatch.setenv("NER_VERBOSE", verbose)
        with mock.patch.dict(os.environ):
            assert train.train("grpo_tiny", overrides) == status
        said[status] = capsys.readouterr().out.splitlines()
    assert [look is None for look in looks] == [False, True]
    shown = [[line for line in lines if line.startswith("command")] for lines in said.values()]
    assert [bool(lines) for lines in shown] == [False, True]
    log = tmp_path / "run" / "log.txt"
    where = ["           in f, x.py, line 1", f"log        {log}, line 4"]
    assert said[1][-4:-1] == ["cause      ValueError: at 1", *where]
    assert said[1][-1].startswith(f"{tmp_path / 'run'}: ended with status 1 after step 0 of ")
    again = "it has no checkpoint yet, so the same command begins it anew"
    assert said[143][-1].endswith(f"ended by SIGTERM after step 0 of 2; {again}")
    assert not [line for line in said[143] if line.startswith("cause")]
    assert log.read_text().startswith(f"$ VERL_FILE_LOGGER_PATH={tmp_path}/run/metrics/")


def test_why_a_run_ended_is_told_where_nobody_knows_yet(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text('Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: no\nlast words\n')
    told = {status: train._why(status, log, 0)[:1] for status in (1, 124, 125, 130, 143)}
    assert told.pop(1) == ["cause      ValueError: no"]
    assert told.pop(124) == ["cause      last printed: last words"]
    assert set(map(tuple, told.values())) == {()}
    log.write_text("")
    assert train._why(1, log, 0) == [f"log        {log}"]


def test_a_misspelt_loss_setting(tmp_path, model, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    overrides = [f"model.path={model}", f"trainer.default_local_dir={tmp_path / 'run'}", "+loss.gamma=2"]
    assert "loss.gamma: not known" in problem("sft_tiny_bio", overrides)


def turn(answer=None, question=None):
    """The messages of an SFT row."""
    answer = answer or render_entities(EXAMPLE.entities, "Two persons.")
    return [
        {"role": "user", "content": question or render_prompt(EXAMPLE)},
        {"role": "assistant", "content": answer},
    ]


@pytest.fixture
def sft(tmp_path, model, monkeypatch):
    """Overrides of an SFT run on these rows' messages; keywords replace overrides."""
    monkeypatch.setenv("VERL_PLATFORM", "cpu")

    def make(messages, **overrides):
        pq.write_table(pa.table({"messages": messages}), tmp_path / "sft.parquet")
        values = {
            "data.train_files": tmp_path / "sft.parquet",
            "model.path": model,
            "trainer.default_local_dir": tmp_path / "run",
            "data.train_batch_size": 32,
            **overrides,
        }
        return [f"{key}={value}" for key, value in values.items()]

    return make


LONG = turn(render_entities(EXAMPLE.entities, "Two persons. " * 999))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (LONG, "tokens, data.max_length="),
        (turn(question="say <|im_end|>"), "holds the control token '<|im_end|>'"),
        (turn()[:1], "messages must end with user and assistant"),
        ([{"role": "user", "content": "what?"}, {"role": "assistant", "content": None}], "a message without a text"),
    ],
)
def test_an_sft_row_that_the_dataset_refuses_is_found_wherever_it_is(sft, tmp_path, wrong, said):
    from sft.dataset import AnswerDataset

    overrides = sft([turn()] * 2000 + [wrong] + [turn()] * 100)
    found = problem("sft_tiny", overrides)
    assert found.startswith(f"{tmp_path / 'sft.parquet'}, row 2000: ")
    assert said in found
    settings = preflight.experiment.compose("sft_tiny", overrides)
    with pytest.raises(DataError) as error:
        AnswerDataset(str(tmp_path / "sft.parquet"), load_tokenizer(settings.model.path), settings.data)[2000]
    assert str(error.value) == found


def test_a_row_of_the_validation_file_and_of_a_second_file_is_named_with_its_file(sft, tmp_path):
    for name, rows in {"val": [turn()] * 3 + [LONG], "good": [turn()] * 40}.items():
        pq.write_table(pa.table({"messages": rows}), tmp_path / f"{name}.parquet")
    good, bad = tmp_path / "good.parquet", tmp_path / "val.parquet"
    assert problem("sft_tiny", sft([turn()] * 64, **{"data.val_files": bad})).startswith(f"{bad}, row 3: ")
    assert problem("sft_tiny", sft([turn()], **{"data.train_files": f"[{good},{bad}]"})).startswith(f"{bad}, row 3: ")


def test_an_answer_that_has_no_place_for_the_losss_mask(sft):
    good, wrong = turn(bio.render_answer(EXAMPLE)), turn("Ada is one, and so is Bob")
    assert preflight.check("sft_tiny_bio", sft([good] * 640), ranks=1).steps
    assert "row 600: its word" in problem("sft_tiny_bio", sft([good] * 600 + [wrong] + [good] * 64), ranks=1)


def test_the_rows_are_those_that_max_samples_leaves(sft):
    limited = {"data.train_max_samples": 64, "trainer.total_epochs": 1}
    assert preflight.check("sft_tiny", sft([turn()] * 640 + [LONG], **limited), ranks=2).steps == 2


def test_a_grpo_row_that_is_no_conversation_is_named(grpo):
    wrong = grpo_row(prompt=[{"role": "user", "content": None}])
    assert "dev.parquet, row 20: a message without a text" in problem("grpo_tiny", grpo([grpo_row()] * 20 + [wrong]))


def test_grpos_rows_are_of_several_files(grpo, tmp_path):
    more, wrong = grpo(), grpo_row(reward_model={"style": "rule", "ground_truth": "{}"})
    pq.write_table(pa.Table.from_pylist([grpo_row()] * 3 + [wrong]), tmp_path / "more.parquet")
    more += [f"data.train_files=[{tmp_path / 'train.parquet'},{tmp_path / 'more.parquet'}]"]
    assert f"{tmp_path / 'more.parquet'}, row 3: " in problem("grpo_tiny", more)


def test_grpos_rows_are_those_that_fit_with_the_runs_template_arguments(grpo, model):
    """verl drops the others."""
    limit = {"data.max_prompt_length": 512, "data.train_max_samples": 36}
    assert "36 rows" in "".join(preflight.check("grpo_tiny", grpo([grpo_row()] * 40, **limit)).lines)
    empty_block = "+data.apply_chat_template_kwargs.enable_thinking=false"  # the prompt is longer with it
    fits = {"data.max_prompt_length": len(encode_prompt(load_tokenizer(model), grpo_row()["prompt"]))}
    assert preflight.check("grpo_tiny", grpo(**fits)).steps
    assert ": 0 rows" in problem("grpo_tiny", [*grpo(**fits), empty_block])


def test_sft_rows_and_ranks(sft, tmp_path):
    overrides = sft([turn()] * 64)
    assert preflight.check("sft_tiny", overrides, ranks=2).steps == 2
    assert "3 ranks" in problem("sft_tiny", overrides, ranks=3)
    assert "tokens, data.max_length=9" in problem("sft_tiny", [*overrides, "data.max_length=9"])
    assert "write it with" in problem("sft_tiny", [*overrides, "data.train_files=none.parquet"])
