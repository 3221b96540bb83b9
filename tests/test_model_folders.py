"""Model folders laid out as other people's, through SFT, merge, evaluation, GRPO and merge, by the commands of users.

SmolLM2-135M is the real one, made by `recipe.smollm2`, with its own experiments; the others are small and random.
Each folder is read-only, as one that a group shares: nothing may be written into it, and nothing is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backbones import OTHERS, overrides, write

from data_prep import to_parquet
from recipe import eos
from recipe.models import chat
from recipe.models.run_log import read_metrics
from recipe.train.__main__ import newest_step

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS"
REAL = "smollm2_135m"
NAMES = [*OTHERS, "qwen2_5_1_5b", REAL]

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.ray, pytest.mark.cpu_platform]


def python(*command):
    """Run as a user whom the folder's permissions bind: root without its power to pass them over."""
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    bound = bound if os.geteuid() == 0 and shutil.which("setpriv") else []
    done = subprocess.run(
        [*bound, sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def experiment(stage, name):
    return f"{stage}_{name}" if name == REAL else f"{stage}_tiny"


def listing(folder):
    files = {path.name: (path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.iterdir()}
    return {name: (stat.st_mode, stat.st_mtime_ns, digest) for name, (stat, digest) in files.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The shipped sample, prepared with one of the folders' tokenizers; the others' prompts are about as long."""
    work = tmp_path_factory.mktemp("folders")
    common = ["--corpora", SAMPLE, "--datasets", "CrossNER_AI", "--tokenizer", write("smollm2", work / "tokenizer")]
    few = ["--num-samples", 8, "--num-dev", 2]
    for command in (
        ["sft", *common, *few, "--cot", "template", "--max-tokens", 900, "--out", work / "sft"],
        ["grpo", *common, *few, "--max-prompt-tokens", 600, "--out", work / "grpo"],
        ["eval", *common[:4], "--out", work / "eval"],
    ):
        assert to_parquet.main([*map(str, command)]) == 0
    return work


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def base(name, data, request):
    """The folder, read-only for as long as it is in use, and the same afterwards."""
    folder = data / "bases" / name
    if name == REAL:
        shutil.copytree(request.getfixturevalue("smollm2"), folder)
    else:
        write(name, folder)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    before = listing(folder)
    yield folder
    assert listing(folder) == before
    folder.chmod(0o755)


@pytest.fixture(scope="module")
def merged(name, base, data):
    """The folder after two steps of SFT."""
    run = data / "runs" / f"sft_{name}"
    settings = [f"data.train_files={data / 'sft' / 'train.parquet'}", "data.train_batch_size=4"]
    settings += [f"trainer.default_local_dir={run}", "trainer.total_epochs=1", "data.max_length=1024"]
    python("-m", "recipe.train", experiment("sft", name), "--ranks", 1, *overrides(name, base), *settings)
    assert list(read_metrics(run)) == [1, 2]
    python("-m", "recipe.merge", run, "--out", data / "models" / name)
    return data / "models" / name


def check_export(folder, name, base):
    """Tokenizer and template are the base's, or the run's; generation stops at the end of a turn."""
    from transformers import AutoTokenizer

    before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(folder)
    before.chat_template = OTHERS.get(name) or before.chat_template
    question = [{"role": "user", "content": "Who met  Bob in 東京 ?"}]
    assert chat.encode_prompt(after, question) == chat.encode_prompt(before, question)
    assert after.get_vocab() == before.get_vocab()
    assert eos.check_eos(folder)[0] == eos.end_of_turn_id(before)


def evaluate(folder, data, out):
    command = ["-m", "recipe.evaluate", folder, "--data", data / "eval" / "test.parquet", "--out", data / out]
    python(*command, "--limit", 2, "--max-model-len", 1024, "--max-new-tokens", 16)
    scores = json.loads((data / out / "scores.json").read_text())
    assert scores["datasets"]["CrossNER_AI"]["sentences"] == 2


def test_sft_merge_evaluation_grpo_and_merge(merged, name, base, data):
    check_export(merged, name, base)
    evaluate(merged, data, f"scores_{name}")
    run = data / "runs" / f"grpo_{name}"
    settings = {
        "data.train_files": data / "grpo" / "train.parquet",
        "data.val_files": data / "grpo" / "dev.parquet",
        "data.train_batch_size": 2,
        "data.max_prompt_length": 704,
        "data.max_response_length": 32,
        "actor_rollout_ref.actor.ppo_mini_batch_size": 2,
        "actor_rollout_ref.actor.entropy_coeff": 0.1,  # a gradient where all answers of a random model earn the same
        "actor_rollout_ref.rollout.n": 2,
        "algorithm.rollout_correction.bypass_mode": False,  # with a second pass verl compares vLLM's figures with ours
        "actor_rollout_ref.model.path": merged,
        "trainer.default_local_dir": run,
        "trainer.total_training_steps": 2,
        "trainer.save_freq": 2,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
    }
    python("-m", "recipe.train", experiment("grpo", name), *(f"{key}={value}" for key, value in settings.items()))
    assert newest_step(run) == 2
    for figures in read_metrics(run).values():
        assert figures["actor/grad_norm"] > 1e-6
        # vLLM has the weights that are trained. verl masks, in rollouts alone, what the embeddings have beyond the
        # tokenizer; where nothing is learned yet that is as probable as any token: one factor for all that is drawn.
        spread = figures["rollout_corr/log_ppl_diff_max"] - figures["rollout_corr/log_ppl_diff_min"]
        assert figures["training/rollout_probs_diff_max"] < (1e-2 if name == "gpt2_tokens" else 1e-4)
        assert spread < 1e-2
    python("-m", "recipe.merge", run, "--out", data / "models" / f"grpo_{name}")
    check_export(data / "models" / f"grpo_{name}", name, base)
