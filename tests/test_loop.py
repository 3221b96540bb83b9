"""The real loop on two cores: verl's SFT with two ranks, verl's GRPO with Ray and vLLM, kill and resume, merge, reload.

Nothing is replaced but the size of the model. The runs build on each other, so that each is paid for once; a GRPO run
that is killed and resumed takes minutes more (`-m long`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from random_model import make_random

from recipe.eos import read_eos
from recipe.models.checkpoints import steps
from recipe.models.run_log import read_metrics
from recipe.train import __main__ as train
from recipe.train.__main__ import newest_step

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.cpu_platform,
]


def python(*command, check=True, timeout=600, **environment):
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout
    )
    if check:
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def processes_of(run):
    """Live processes that know the run's folder: trainer, torchrun, Ray's daemons, vLLM's workers."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            text = " ".join(process.info["cmdline"] or []) + process.environ().get("VERL_FILE_LOGGER_PATH", "")
        except psutil.Error:
            continue
        if str(run) in text and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(text[:80])
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("loop")


@pytest.fixture(scope="module")
def model(work):
    return make_random(work / "base", hidden_size=128, layers=2)


@pytest.fixture(scope="module")
def data(work):
    common = [
        "--corpora",
        SAMPLE,
        "--datasets",
        "bc5cdr",
        "CrossNER_AI",
        "--tokenizer",
        ROOT / "recipe/tiny_model/base",
    ]
    tool = "data_prep/to_parquet.py"
    few = ["--num-samples", 32, "--num-dev", 4, "--max-prompt-tokens", 256]
    python(tool, "grpo", *common, *few, "--out", work / "grpo")
    python(tool, "sft", *common, "--cot", "template", *few[:4], "--max-tokens", 448, "--out", work / "sft")
    return work


@pytest.fixture(scope="module")
def sft(data, model):
    """An SFT run with two ranks: killed after a checkpoint inside an epoch, resumed, stopped at the epoch's end."""
    run = data / "runs" / "sft"
    command = ["-m", "recipe.train", "sft_tiny", "--ranks", "2", f"data.train_files={data / 'sft' / 'train.parquet'}"]
    command += [f"model.path={model}", f"trainer.default_local_dir={run}", "data.train_batch_size=4"]
    command += ["trainer.save_freq=1", "trainer.total_epochs=2"]  # 32 rows: 8 steps an epoch
    start = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    deadline = time.monotonic() + 300
    while newest_step(run) < 1 and start.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in psutil.Process(start.pid).children(recursive=True):
        if "sft.train" in process.cmdline() and "torch.distributed.run" not in process.cmdline():
            process.send_signal(signal.SIGKILL)
    killed = start.wait(timeout=120)
    left = processes_of(run)
    after_kill = newest_step(run)
    at_epoch_end = python(*command, "trainer.total_training_steps=8")
    last = python(*command)
    return {
        "run": run, "command": command, "killed": killed, "left": left, "after_kill": after_kill,
        "at_epoch_end": at_epoch_end.stdout, "last": last.stdout,
    }  # fmt: skip


def test_a_killed_sft_run_leaves_no_process_and_goes_on_from_its_checkpoint(sft):
    assert sft["killed"] != 0
    assert sft["left"] == []
    assert 1 <= sft["after_kill"] < 8
    assert f"goes on after step {sft['after_kill']} of 8" in sft["at_epoch_end"]


def test_sft_resumed_at_an_epochs_end_does_the_next_epoch(sft):
    assert "goes on after step 8 of 16" in sft["last"]
    assert newest_step(sft["run"]) == 16
    assert list(read_metrics(sft["run"])) == list(range(1, 17))


def test_of_an_sft_run_that_was_resumed_twice_two_checkpoints_are_left(sft):
    assert steps(sft["run"]) == [15, 16]


def test_sft_learns(sft):
    losses = [figures["train/loss"] for figures in read_metrics(sft["run"]).values()]
    assert losses[-1] < losses[0]


def test_a_finished_run_is_left_alone_and_not_mixed_with_other_settings(sft, capsys):
    arguments = sft["command"][2:]
    assert train.main(arguments) == 0
    assert "all 16 steps are done already" in capsys.readouterr().out
    assert train.main([*arguments, "optim.lr=1"]) == 2
    assert "another optim.lr;" in capsys.readouterr().err


def test_an_sft_run_whose_loss_rises_ends_early_on_all_ranks_and_keeps_the_best(data, model):
    run = data / "runs" / "rising"
    settings = [f"data.train_files={data / 'sft' / 'train.parquet'}", f"data.val_files={data / 'sft' / 'dev.parquet'}"]
    settings += [f"model.path={model}", f"trainer.default_local_dir={run}", "data.train_batch_size=4", "optim.lr=0.3"]
    settings += ["trainer.save_freq=1", "trainer.test_freq=1", "trainer.max_ckpt_to_keep=1"]
    said = python("-m", "recipe.train", "sft_tiny", "--ranks", 2, *settings, "--patience", 2).stdout
    assert "ended early after step 3 of 8: 2 validations in a row were not better than step 1's loss" in said
    assert steps(run) == [1, 3]


@pytest.fixture(scope="module")
def merged(sft, data):
    python("-m", "recipe.merge", sft["run"], "--out", data / "models" / "sft")
    return data / "models" / "sft"


def test_a_two_rank_checkpoint_becomes_a_folder_that_transformers_loads(merged):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(merged), AutoTokenizer.from_pretrained(merged)
    assert model.config.tie_word_embeddings
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in read_eos(merged)
    assert not list(merged.glob("*.bin"))


def small_grpo(data, model, run, settings):
    """The command of a GRPO run of four prompts and four answers a step, with a checkpoint after each."""
    settings = {
        "data.train_files": data / "grpo" / "train.parquet",
        "data.val_files": data / "grpo" / "dev.parquet",
        "data.train_batch_size": 4,
        "data.max_response_length": 48,
        "actor_rollout_ref.model.path": model,
        "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
        "actor_rollout_ref.rollout.n": 4,
        "trainer.default_local_dir": run,
        "trainer.save_freq": 1,
        "trainer.val_before_train": False,
        **settings,
    }
    return ["-m", "recipe.train", "grpo_tiny", *(f"{key}={value}" for key, value in settings.items())]


def two_steps(data, model, run):
    """A GRPO run of two steps."""
    actor = "actor_rollout_ref.actor"
    settings = {
        f"{actor}.use_kl_loss": True,  # a reference model, too
        f"{actor}.entropy_coeff": 0.1,  # a gradient where a random model's answers all earn the same, nothing
        f"{actor}.optim.lr": 1e-3,
        "trainer.total_training_steps": 2,
        "trainer.test_freq": 2,
        "trainer.max_actor_ckpt_to_keep": 1,
    }
    return small_grpo(data, model, run, settings)


@pytest.fixture(scope="module")
def early(data, merged):
    """The command of a GRPO run with a Ray of its own, which was done, and what it said."""
    command = [*two_steps(data, merged, data / "runs" / "grpo"), "trainer.total_training_steps=3"]
    command += ["trainer.test_freq=1", "--patience", "1"]  # an F1 of 0 becomes no better in the second step
    return {"command": command, "said": python(*command).stdout}


@pytest.fixture(scope="module")
def grpo(data, early):
    """The folder of that run, of two steps."""
    return data / "runs" / "grpo"


def answers(run):
    """What was asked and answered in each step of a run."""
    dumps = [(run / "rollouts" / f"{step}.jsonl").read_text().splitlines() for step in (1, 2)]
    return [sorted((line["input"], line["output"]) for line in map(json.loads, dump)) for dump in dumps]


@pytest.mark.long
def test_another_seed_gives_other_answers(data, merged, grpo):
    run = data / "runs" / "another_seed"
    python(*two_steps(data, merged, run), "seed=1")
    assert not {output for _, output in answers(run)[0]} & {output for _, output in answers(grpo)[0]}


@pytest.mark.long
def test_rollouts_that_are_rounded_tell_how_much_of_the_update_they_carry(data, merged, grpo):
    run = data / "runs" / "bf16"
    said = python(*two_steps(data, merged, run), "actor_rollout_ref.rollout.dtype=bfloat16").stdout
    shares = [step["actor/update_carried"] for step in read_metrics(run).values()]
    assert len(shares) == 2
    assert all(share < 1 for share in shares)
    assert f"carried {shares[1]:.2f}" in said
    assert not any("actor/update_carried" in step for step in read_metrics(grpo).values()), "fp32 rounds nothing"


@pytest.mark.long
def test_a_killed_grpo_run_leaves_no_process_and_goes_on_from_its_checkpoint_with_the_answers_of_one_that_ran_through(
    data, merged, grpo
):
    """kill -9 after the first step, and the same command again."""
    run = data / "runs" / "killed"
    command = two_steps(data, merged, run)
    start = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT)
    deadline = time.monotonic() + 500
    while newest_step(run) < 1 and start.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    driver = next(p for p in psutil.Process(start.pid).children() if "verl.trainer.main_ppo" in p.cmdline())
    driver.send_signal(signal.SIGKILL)
    assert start.wait(timeout=120) == 128 + signal.SIGKILL
    assert processes_of(run) == []
    assert newest_step(run) == 1
    assert "goes on after step 1 of 2" in python(*command).stdout
    assert newest_step(run) == 2
    assert steps(run) == [2], "the first start's checkpoint, which verl forgot"
    assert answers(run) == answers(grpo)


def test_of_the_checkpoints_as_many_stay_as_are_to_be_kept_and_the_best(grpo):
    assert steps(grpo) == [1, 2]


def test_a_grpo_run_without_a_better_validation_ends_in_good_order_and_is_left_alone(grpo, early, capsys):
    assert f"{grpo}: ended early after step 2 of 3: one validation was not better than step 1's F1 " in early["said"]
    assert json.loads((grpo / "run.json").read_text())["state"].startswith("ended early after step 2 of 3: ")
    assert train.main(early["command"][2:]) == 0
    assert "; without --patience the same command goes on" in capsys.readouterr().out
    assert newest_step(grpo) == 2


def test_vllm_samples_from_the_weights_that_are_trained(grpo):
    """Rollout and actor agree on the probabilities of the same tokens, after a step that changed them, too."""
    first, second = read_metrics(grpo).values()
    assert min(first["actor/grad_norm"], second["actor/grad_norm"]) > 1e-6
    assert second["actor/kl_loss"] > 1e-4  # of the policy that has changed to the one before
    assert max(abs(first["actor/ppo_kl"]), abs(second["actor/ppo_kl"])) < 1e-6  # of vLLM's to the trained one


def test_no_second_pass_computes_the_log_probabilities_that_vllm_gave(grpo):
    assert not any("training/rollout_probs_diff_max" in figures for figures in read_metrics(grpo).values())


def test_rollouts_are_kept_and_validation_with_every_part_of_the_reward(grpo):
    rollouts = (grpo / "rollouts" / "2.jsonl").read_text().splitlines()
    assert len(rollouts) == 4 * 4
    assert {"input", "output", "gts", "score", "step"} <= set(json.loads(rollouts[0]))
    validation = (grpo / "validation" / "2.jsonl").read_text().splitlines()
    assert len(validation) == 4
    assert {"f1", "schema", "format", "n_match", "n_pred", "n_gold", "data_source"} <= set(json.loads(validation[0]))
    assert any(name.startswith("val-core/") for name in read_metrics(grpo)[2])


def test_the_merged_grpo_model_is_evaluated_by_vllm(grpo, data):
    python("-m", "recipe.merge", grpo, "--out", data / "models" / "grpo")
    python("data_prep/to_parquet.py", "eval", "--corpora", SAMPLE, "--datasets", "CrossNER_AI", "--out", data / "eval")
    command = ["-m", "recipe.evaluate", data / "models" / "grpo", "--data", data / "eval" / "test.parquet"]
    python(*command, "--limit", 3, "--max-new-tokens", 16, "--out", data / "scores")
    scores = json.loads((data / "scores" / "scores.json").read_text())
    assert scores["datasets"]["CrossNER_AI"]["sentences"] == 3
    assert 0 <= scores["macro"]["strict"] <= 1
    assert "CrossNER_AI" in python("-m", "recipe.compare", data / "scores", "--run", grpo).stdout
