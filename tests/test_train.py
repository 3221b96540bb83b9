"""What a run leaves and is compared with, without training: commands, settings, figures, tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import save, validate

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe.answers.json_answer import render_entities
from recipe.compare import main as compare
from recipe.compare import reward_line
from recipe.core.entities import DataError, Entity, Example
from recipe.evaluate.__main__ import main as evaluate
from recipe.models.run_log import lost_steps, read_metrics
from recipe.train import __main__ as train
from recipe.train.checks import Plan
from recipe.train.config import compose
from recipe.train.rollout_seeds import AGENT_LOOPS


def plan(stage, run):
    return Plan(stage, 4, run, run, ())


def metrics(run, name, *rewards, first=1):
    lines = [json.dumps({"step": first + i, "data": {"critic/score/mean": r}}) for i, r in enumerate(rewards)]
    (run / "metrics").mkdir(parents=True, exist_ok=True)
    (run / "metrics" / name).write_text("\n".join(lines) + "\n")


def scored(folder, *names, gold=("Paris",)):
    """A folder that recipe.evaluate wrote: one sentence of one dataset for each name that the model gives."""
    rows = [Example("Paris met Lyon .", ("place",), tuple(Entity(n, "place") for n in gold), "toy") for _ in names]
    data, saved = folder.with_suffix(".parquet"), folder.with_suffix(".jsonl")
    write_parquet(data, [question_row(r, i, "test", RowRules()) for i, r in enumerate(rows)], row_schema(sft=False))
    answers = [render_entities([Entity(name, "place")]) for name in names]
    saved.write_text("".join(json.dumps({"index": i, "output": a}) + "\n" for i, a in enumerate(answers)))
    assert evaluate(["--predictions", str(saved), "--data", str(data), "--out", str(folder)]) == 0
    return str(folder)


def test_grpo_starts_ray_here_unless_a_cluster_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone = train.command(plan("grpo", tmp_path), "grpo_tiny", ["trainer.nnodes=1"], 1)
    assert alone[1:3] == ["-m", "verl.trainer.main_ppo"]
    assert "trainer.nnodes=1" in alone
    assert f"actor_rollout_ref.rollout.agent.agent_loop_config_path='{AGENT_LOOPS}'" in alone
    assert "++ray_kwargs.ray_init.address=local" in alone
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert "++ray_kwargs.ray_init.num_gpus=null" in train.command(plan("grpo", tmp_path), "grpo_tiny", [], 1)


@pytest.mark.parametrize(("stage", "model"), [("grpo", "actor_rollout_ref.model"), ("sft", "model")])
def test_on_gpus_verls_engine_has_our_additions_unless_a_library_is_named(stage, model, tmp_path):
    key, name = f"{model}.external_lib", f"{stage}_qwen3_1_7b"
    assert f"{key}=recipe.engines.gpu" in train.command(plan(stage, tmp_path), name, [], 1)
    given = train.command(plan(stage, tmp_path), name, [f"{key}=mine"], 1)
    assert [word for word in given if key in word] == [f"{key}=mine"]
    assert not any(key in word for word in train.command(plan(stage, tmp_path), f"{stage}_tiny", [], 1))


def test_a_clusters_workers_get_whole_paths_and_what_the_trainer_needs(tmp_path, monkeypatch):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it's, {here}.parquet").touch()
    given = ["data.train_files='it\\'s, {here}.parquet'", "actor_rollout_ref.model.path=Qwen/Qwen3-8B"]
    line = train.command(plan("grpo", tmp_path), "grpo_tiny", given, 1, {"TENSORBOARD_DIR": "/a b/c"})
    said = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(line[7:])}
    assert said["data.train_files"] == f"{tmp_path}/it's, {{here}}.parquet"
    assert said["actor_rollout_ref.model.path"] == "Qwen/Qwen3-8B", "a name of the hub stays one"
    assert said["trainer.default_local_dir"].startswith(f"{tmp_path}/outputs/")
    assert said["ray_kwargs.ray_init.runtime_env.env_vars.TENSORBOARD_DIR"] == "/a b/c"


def test_lists_of_data_files_are_whole_paths_too_and_home_is_a_folder(tmp_path, monkeypatch):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.chdir(tmp_path)
    given = ["data.train_files=['it\\'s, one.parquet',/b/two.parquet]", "data.val_files=['~/dev.parquet']"]
    line = train.command(plan("grpo", tmp_path), "grpo_tiny", given, 1)
    said = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(line[7:])}
    assert said["data.train_files"] == [f"{tmp_path}/it's, one.parquet", "/b/two.parquet"]
    assert said["data.val_files"] == ["/home/ada/dev.parquet"]


def test_the_nodes_must_see_every_file_of_a_list(tmp_path, monkeypatch):
    from recipe.train import config

    asked = []
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(train, "join", lambda address: None)

    def run(line, **_):
        asked.extend(line)
        return train.subprocess.CompletedProcess(line, 0, "")

    monkeypatch.setattr(train.subprocess, "run", run)
    files = ["data.train_files=[/a/1.parquet,/a/2.parquet]", "data.val_files=/a/3.parquet"]
    settings = config.compose("grpo_tiny", files)
    train._join(plan("grpo", tmp_path), settings, {})
    assert asked[asked.index("--") + 1 : -1] == ["/a/1.parquet", "/a/2.parquet", "/a/3.parquet"]


def test_the_manifest_of_each_folder_of_a_list_is_kept(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    files = [str(tmp_path / name) for name in ("a/1.parquet", "a/2.parquet", "b/1.parquet")]
    train._write_record(tmp_path / "run", {"data": {"train_files": files}}, {})
    assert {p.name: p.read_text() for p in (tmp_path / "run").glob("manifest*")} == {
        "manifest.json": "a",
        "manifest_2.json": "b",
    }


def test_a_folder_under_home_is_where_it_is_for_verl_too(tmp_path, monkeypatch):
    from recipe.train import config

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sft").mkdir()
    given = ["data.train_files='~/a.parquet'", "model.path='~/sft'", "trainer.default_local_dir='~/run'"]
    assert train._from_home(config.compose("sft_tiny", given)) == {
        "data.train_files": f"{tmp_path}/a.parquet",
        "model.path": f"{tmp_path}/sft",
        "trainer.default_local_dir": f"{tmp_path}/run",
    }


def test_sft_starts_a_process_a_rank(tmp_path):
    line = train.command(plan("sft", tmp_path), "sft_tiny", [], 2)
    assert line[line.index("--nproc_per_node") + 1] == "2"
    assert "sft.train" in line


def test_settings_that_differ_are_named_but_not_how_far_to_go(tmp_path):
    assert train.differences(tmp_path, {"optim": {"lr": 1}}) == []
    (tmp_path / "config.yaml").write_text("optim: {lr: 1}\ntrainer: {total_epochs: 1, seed: 1}\n")
    assert train.differences(tmp_path, {"optim": {"lr": 2}, "trainer": {"total_epochs": 9, "seed": 1}}) == ["optim.lr"]


def test_a_path_written_otherwise_is_no_other_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"data": {"train_files": "a.parquet"}, "model": {"path": "~/base"}, "trainer": {"n": 1}}
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    whole = {"data": {"train_files": [str(tmp_path / "a.parquet")]}, "model": {"path": str(Path.home() / "base")}}
    assert train.differences(tmp_path, {**settings, **whole}) == []
    assert train.differences(tmp_path / "b" / "..", {**settings, **whole}, tmp_path) == []
    assert train.differences(tmp_path, settings, tmp_path / "elsewhere") == []
    whole["data"]["train_files"] = ["b.parquet"]
    assert train.differences(tmp_path, {**settings, **whole}) == ["data.train_files"]


def test_an_adapter_and_no_validation_file_are_paths_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose("sft_tiny_lora", ["model.lora_adapter_path=ada", "data.val_files="])
    found = train._absolute(config)
    assert found["model.lora_adapter_path"] == str(tmp_path / "ada")
    assert "data.val_files" not in found
    assert "data.val_files" not in train._from_home(config)


def test_the_newest_step_is_the_trackers(tmp_path):
    assert train.newest_step(tmp_path) == 0
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("7")
    assert train.newest_step(tmp_path) == 7


def test_a_tracker_that_a_kill_left_empty_is_named(tmp_path):
    (tmp_path / "latest_checkpointed_iteration.txt").touch()
    (tmp_path / "global_step_4").mkdir()
    with pytest.raises(DataError, match=r"names no step; write one of these into it \(4\)"):
        train.newest_step(tmp_path)


def test_a_folder_is_trained_in_once_at_a_time(tmp_path):
    alone = train._alone_in
    with alone(tmp_path), pytest.raises(DataError, match="is being trained already"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_how_many_checkpoints_are_kept_may_change_at_a_resume(tmp_path):
    (tmp_path / "config.yaml").write_text("trainer: {max_ckpt_to_keep: 3, max_actor_ckpt_to_keep: 3}\n")
    now = {
        "max_ckpt_to_keep": 1,
        "max_actor_ckpt_to_keep": 1,
        "checkpoint_callback_class": "recipe.models.retention.AfterSave",
    }
    assert train.differences(tmp_path, {"trainer": now}) == []
    assert train.differences(tmp_path, {"trainer": now, "patience": 2}) == []


def test_two_runs_with_a_ray_of_their_own_do_not_share_a_host(tmp_path, monkeypatch):
    monkeypatch.setattr(train.tempfile, "gettempdir", lambda: str(tmp_path))
    alone = train._alone_on_this_host
    with alone(), pytest.raises(DataError, match="another GRPO run"), alone():
        pass
    with alone():
        pass


def test_an_unknown_experiment_is_one_line_and_exit_2(capsys):
    assert train.main(["grpo_qwen9"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_sft_run_that_stopped_early_is_an_error(tmp_path):
    from sft.train import check_complete

    (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
    check_complete(str(tmp_path), 4)
    with pytest.raises(RuntimeError, match="4 of 8 steps"):
        check_complete(str(tmp_path), 8)


# ------------------------------------------------------------------------------------------------------------ figures
def test_steps_done_again_after_a_resume_count_as_done_last(tmp_path):
    metrics(tmp_path, "1.jsonl", 1.0, 2.0, 3.0)
    metrics(tmp_path, "2.jsonl", 5.0, first=3)
    assert [f["critic/score/mean"] for f in read_metrics(tmp_path).values()] == [1.0, 2.0, 5.0]


def test_a_step_whose_checkpoint_was_written_and_whose_figures_were_not_is_named(tmp_path):
    metrics(tmp_path, "1.jsonl", 1.0, 2.0)
    with (tmp_path / "metrics" / "2.jsonl").open("w") as file:  # a resume validates step 3 again, and trains step 4
        file.write('{"step": 3, "data": {"val-core/toy/acc/mean@1": 0.5}}\n{"step": 4, "data": {"actor/loss": 1.0}}\n')
    assert lost_steps(tmp_path, 4) == [3]
    assert "no figures of training step 3:" in train._lost(tmp_path, 4)
    assert train._lost(tmp_path, 2) == ""


def test_a_run_with_another_logger_or_from_anothers_checkpoint_has_lost_nothing(tmp_path):
    assert lost_steps(tmp_path, 40) == []
    metrics(tmp_path, "1.jsonl", 1.0, 2.0, first=11)
    assert lost_steps(tmp_path, 12) == []
    assert lost_steps(tmp_path, 13) == [13]
    (tmp_path / "metrics" / "0.jsonl").touch()  # an earlier start, killed before its first figures
    assert lost_steps(tmp_path, 2) == [1, 2]


def test_a_run_that_keeps_no_checkpoint_is_done_all_the_same(tmp_path):
    metrics(tmp_path, "1.jsonl", 1, 2)
    assert train._done(tmp_path, 2) == "2 steps done; no checkpoint, as trainer.save_freq has it"
    (tmp_path / train.TRACKER).write_text("2")
    assert train._done(tmp_path, 2) == f"2 steps done; next: python -m recipe.merge {tmp_path}"


def test_a_run_that_ended_early_says_why_and_what_to_merge(tmp_path):
    validate(save(tmp_path, 10, 20), {10: 0.5, 20: 0.4})
    assert train._done(tmp_path, 60, 1) == (
        "ended early after step 20 of 60: one validation was not better than step 10's F1 0.500; the last, step 20: "
        f"F1 0.400; next: python -m recipe.merge {tmp_path} --step best"
    )
    assert train._done(tmp_path, 60, 2).startswith("20 steps done")
    assert train._done(tmp_path, 20, 1).startswith("20 steps done")


def test_a_half_written_line_is_passed_over(tmp_path):
    metrics(tmp_path, "1.jsonl", 1.0)
    with (tmp_path / "metrics" / "1.jsonl").open("a") as file:
        file.write('{"step": 2, "da')
    assert list(read_metrics(tmp_path)) == [1]


def test_the_reward_is_compared_over_ten_steps_at_either_end(tmp_path):
    metrics(tmp_path, "1.jsonl", *[1.0] * 10, *[9.0] * 5, *[2.0] * 10)
    assert reward_line(tmp_path).endswith("first and the last 10 of 25 steps: 1.000 -> 2.000")


def test_models_are_compared_on_the_same_rows(tmp_path, capsys):
    sft = scored(tmp_path / "sft", *["Lyon"] * 6, "Paris", "Paris")
    folders = [
        sft,
        scored(tmp_path / "grpo", *["Paris"] * 8),
        scored(tmp_path / "other", *["Paris"] * 8, gold=("Lyon",) * 2),
    ]
    capsys.readouterr()
    assert compare(folders[:2]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["toy", "25.0", "100.0"]
    # Six sentences differ, all in one direction: 2 of the 64 ways to swap them are as far apart.
    (difference,) = (line for line in lines if line.startswith("grpo - sft: "))
    p = float(difference.split("p = ")[1].split()[0])
    assert p == pytest.approx(2 / 64, abs=0.006)
    assert compare([folders[0], folders[2]]) == 2
    assert "other rows" in capsys.readouterr().err


def test_what_can_not_be_compared_is_one_line_and_exit_2(tmp_path, capsys):
    folder = scored(tmp_path / "sft", "Paris")
    capsys.readouterr()
    assert compare([str(tmp_path)]) == 2
    assert compare([folder, "--run", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 2
