"""verl's SFT on the tiny model, with its fused output layer and without: the same losses and gradients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from random_model import make_random

from recipe.models.run_log import read_metrics

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS"

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.cpu_platform]  # in one process: test_derived.py


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with SFT rows of both answer formats, and a random model."""
    folder = tmp_path_factory.mktemp("fused")
    for answers, cot in (("json", ["--cot", "template"]), ("bio", ["--no-cot"])):
        line = [sys.executable, "data_prep/to_parquet.py", "sft", "--corpora", SAMPLE, "--datasets", "CrossNER_AI"]
        line += [*cot, "--answer-format", answers, "--num-samples", 16, "--num-dev", 0, "--max-tokens", 448]
        line += ["--tokenizer", ROOT / "recipe/tiny_model/base", "--out", folder / answers]
        subprocess.run(list(map(str, line)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    make_random(folder / "model", hidden_size=128, layers=2)
    return folder


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("sft_tiny", "json"),
        ("sft_tiny_bio", "bio"),
    ],
)
def test_the_fused_output_layer_changes_nothing_but_memory(name, answers, work):
    figures = []
    for fused in ("false", "true"):
        run = work / f"{name}-{fused}"
        line = [sys.executable, "-m", "recipe.train", name, "--ranks", "1", f"model.use_fused_kernels={fused}"]
        line += [f"data.train_files={work / answers / 'train.parquet'}", f"model.path={work / 'model'}"]
        line += [f"trainer.default_local_dir={run}", "data.train_batch_size=8", "trainer.save_freq=-1"]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
        log = (run / "log.txt").read_text()
        assert ("Using Torch backend for fused kernels" in log) == (fused == "true"), done.stdout[-2000:] + log[-2000:]
        steps = read_metrics(run).values()
        figures.append([(step["train/loss"], step["train/grad_norm"]) for step in steps])
    plain, fused = figures
    assert len(plain) == 2
    for one, other in zip(plain, fused, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
