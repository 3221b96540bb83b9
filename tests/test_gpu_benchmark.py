"""tests/benchmarks/gpu: what was measured stays, what is lacking is measured, and every variant is what it says."""

import json
import sys

import pytest
from benchmarks.gpu import sft_and_grpo
from benchmarks.watched_sft import ROOT, watch

from recipe.train.config import compose

TINY = ["sft_and_grpo", "--shape", "tiny", "--sft", "train.parquet", "--grpo", "grpo", "--hardware", "gpu_1"]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """`bench(argument, ...)`: the command with a stub for what trains; (status, what ran, the file)."""
    ran, broken = [], []

    def stub(args, settings, folder):
        ran.append(folder.name)
        if folder.name in broken:
            raise RuntimeError("Traceback\nout of memory")
        seconds = {"step": 2.0, "gen": 1.0}
        return {"tokens_per_second": 100, "mfu": 0.1, "peak_gib": 1, "planned_gib": 1, "seconds": seconds}

    kinds = {kind: (variants, settings, stub) for kind, (variants, settings, _) in sft_and_grpo.KINDS.items()}
    monkeypatch.setattr(sft_and_grpo, "KINDS", kinds)
    monkeypatch.setattr(sft_and_grpo, "unwind_on_sigterm", lambda: None)
    out = tmp_path / "found.json"

    def start(*arguments, breaks=()):
        ran.clear()
        broken[:] = breaks
        monkeypatch.setattr(sys, "argv", [*TINY, "--work", str(tmp_path / "work"), "--out", str(out), *arguments])
        status = sft_and_grpo.main()
        return status, [name.partition("_")[2] for name in ran], json.loads(out.read_text()) if out.exists() else None

    return start


def test_what_failed_or_had_other_settings_is_measured_again_and_nothing_else(bench):
    status, ran, found = bench("--only", "SFT", breaks=["tiny_SFT_without_Liger"])
    assert status == 1
    assert len(ran) == len(found["runs"]) == len(sft_and_grpo.SFT), "one that fails doesn't end the others"
    assert found["runs"]["tiny SFT, without Liger"]["failed"] == "Traceback\nout of memory"
    assert bench("--only", "SFT")[:2] == (0, ["SFT_without_Liger"])
    assert bench("--only", "SFT")[:2] == (0, [])
    assert bench("--only", "SFT, as", "SFT, flex", "--tokens", "8192")[1] == ["SFT_as_configured", "SFT_flex_attention"]


def test_no_run_begins_after_the_minutes_and_those_left_are_named(bench, capsys):
    status, ran, found = bench("--minutes", "1e-9")
    assert (status, ran, found) == (0, [], None)
    assert "tiny GRPO, fp16; the same command goes on from there" in capsys.readouterr().out


def test_figures_of_another_machine_are_not_mixed_with_these(bench, capsys, monkeypatch):
    bench("--only", "GRPO, bypass")
    here = sft_and_grpo.machine()
    monkeypatch.setattr(sft_and_grpo, "machine", lambda: {**here, "cuda": "another"})
    assert bench("--only", "GRPO, fp16")[:2] == (2, [])
    assert "is of another machine or other versions; give another --out" in capsys.readouterr().err


def test_the_file_names_no_folder_of_the_machine(bench, tmp_path):
    found = bench()[2]
    assert len(found["runs"]) == len(sft_and_grpo.SFT) + len(sft_and_grpo.GRPO)
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize(
    ("kind", "variant"), [(kind, variant) for kind in sft_and_grpo.KINDS for variant in sft_and_grpo.KINDS[kind][0]]
)
def test_each_variant_changes_what_it_names(bench, kind, variant, monkeypatch):
    _, settings_of, _ = sft_and_grpo.KINDS[kind]
    seen = {}
    monkeypatch.setattr(sft_and_grpo, "measure", lambda args: seen.update(args=args))
    bench()
    given = [settings_of(seen["args"], ROOT / "model", name) for name in (sft_and_grpo.CONFIGURED, variant)]
    configured, other = (compose(f"{kind.lower()}_qwen3_1_7b", settings) for settings in given)
    assert configured.trainer.device == other.trainer.device == "cuda"
    # Of a default that is set only where recipe.train derives it, one of the two variants is no change.
    same = variant in (sft_and_grpo.CONFIGURED, "logits kept")
    assert (configured == other) == same


@pytest.mark.slow
@pytest.mark.cpu_platform
def test_a_watched_run_has_what_recipe_train_derives_and_a_profile_of_a_step_more(tmp_path):
    from benchmarks.plan_against_measurement import prepare
    from transformers import AutoTokenizer

    from recipe.tiny_model.__main__ import build_model, save

    data, model = prepare(tmp_path / "data"), tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")
    save(build_model(vocab_size=5120, hidden_size=64, layers=1, heads=2, kv_heads=1), tokenizer, model)
    settings = ["hardware=sft_cpu", f"model.path={model}", "model.use_liger=false", f"data.train_files={data}"]
    settings += ["data.max_length=448", "data.max_token_len_per_gpu=2048", "data.train_batch_size=8"]
    settings += [f"trainer.default_local_dir={tmp_path / 'run'}", "trainer.total_training_steps=3"]
    found = watch(tmp_path / "watched", "sft_qwen3_1_7b", [*settings, "trainer.logger=[console]"], profile=True)
    assert found["derived"] == ["++model.override_config.attn_implementation=sdpa"]
    assert len(found["steps"]) == 2
    times = [row["seconds"] for row in found["profile"]]
    assert times == sorted(times, reverse=True)
    assert any("mm" in row["name"] for row in found["profile"][:5])
    assert not [row["name"] for row in found["profile"] if "micro_batch" in row["name"]], (
        "these are spans, not operators"
    )


def test_a_training_run_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="ended with status 3"):
        sft_and_grpo.execute([sys.executable, "-c", "raise SystemExit(3)"])
