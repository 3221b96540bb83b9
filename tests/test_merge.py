"""Export of real 2-rank FSDP2 checkpoints, written by verl's own checkpoint manager."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fsdp_ranks import ROOT, two_ranks
from random_model import make_random
from safetensors.torch import load_file, save_file

from recipe.eos import end_of_turn_id, read_eos
from recipe.merge import __main__ as merge
from recipe.merge import fidelity
from recipe.models import card as model_card
from recipe.models.checkpoints import find_checkpoint
from recipe.models.lora import write_adapter

SCRIPT = Path(__file__).resolve().parent / "fsdp_checkpoint.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders sft, grpo and lora, each a run of one step. Odd sizes: 2 ranks get shards of different lengths."""
    out = tmp_path_factory.mktemp("runs")
    make_random(out / "base", vocab_size=999, hidden_size=40, layers=2, heads=2, kv_heads=1)
    two_ranks(SCRIPT, out / "base", out)
    return out


@pytest.fixture(scope="module")
def merged(runs):
    """Name of a run -> its exported folder."""
    return {name: _merge(runs / name) for name in ("sft", "grpo", "lora")}


def _merge(run, *options):
    assert merge.main([str(run), *options]) == 0
    return run / "merged" / "global_step_1"


@pytest.fixture
def copy(merged, tmp_path):
    """A copy of the exported SFT model that a test may damage."""
    return Path(shutil.copytree(merged["sft"], tmp_path / "model"))


@pytest.mark.parametrize("name", ["sft", "grpo", "lora"])
def test_the_folder_reproduces_the_checkpoint(runs, merged, name):
    comparison = merge.check(find_checkpoint(runs / name), merged[name]).exported
    assert comparison.relative_error < 0.01
    assert comparison.agreement > 0.98


@pytest.mark.parametrize(("name", "tied"), [("sft", True), ("grpo", False), ("lora", True)])
def test_tied_embeddings_are_stored_once(merged, name, tied):
    assert ("lm_head.weight" not in load_file(merged[name] / "model.safetensors")) == tied


@pytest.mark.parametrize("name", ["sft", "grpo", "lora"])
def test_weights_are_safetensors_in_bf16_and_nothing_else(merged, name):
    assert not list(merged[name].glob("*.bin")) + list(merged[name].glob("*.pt"))
    assert {weight.dtype for weight in load_file(merged[name] / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((merged[name] / "config.json").read_text())["dtype"] == "bfloat16"


def test_lora_is_folded_into_the_weights(merged):
    assert not [key for key in load_file(merged["lora"] / "model.safetensors") if "lora" in key or "base" in key]
    assert not (merged["lora"] / "lora_adapter").exists()


def test_lora_moved_the_adapted_weights_alone(runs, merged):
    before, after = (load_file(path / "model.safetensors") for path in (runs / "base", merged["lora"]))
    changed = {key.split(".")[-2] for key in after if not torch.equal(before[key], after[key])}
    assert changed == {"q_proj", "down_proj"}


def test_generation_stops_at_the_end_of_turn_and_at_the_bases_end(merged):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(merged["sft"])
    assert tokenizer.convert_ids_to_tokens(read_eos(merged["sft"])) == ["<|im_end|>", "<|endoftext|>"]


@pytest.fixture
def one_end(runs, tmp_path):
    """A copy of the SFT run whose files and tokenizer name the end of turn alone, as one number: SmolLM2's layout."""
    run = Path(shutil.copytree(runs / "sft", tmp_path / "run", ignore=shutil.ignore_patterns("merged")))
    folder = find_checkpoint(run).huggingface
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "<|im_end|>"}))
    from transformers import AutoTokenizer

    end = end_of_turn_id(AutoTokenizer.from_pretrained(folder))
    for name in ("config.json", "generation_config.json"):
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**config, "eos_token_id": end}))
    return run, folder, end


def test_a_single_end_token_need_not_be_a_list(one_end):
    run, _, end = one_end
    folder = _merge(run)
    assert read_eos(folder) == [end]
    assert f"| EOS ids | {end} |" in (folder / "README.md").read_text()


@pytest.mark.parametrize(("key", "value"), [("eos_token_id", "2"), ("pad_token_id", [0])])
def test_ids_that_are_none_are_refused_before_anything_is_merged(one_end, capsys, key, value):
    run, folder, _ = one_end
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**config, key: value}))
    assert merge.main([str(run)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"merge: {folder / 'generation_config.json'}: {key} is {json.dumps(value)}; write ")


def test_chat_template_comes_along_unchanged(runs, merged):
    name = "chat_template.jinja"
    assert (merged["grpo"] / name).read_bytes() == (runs / "base" / name).read_bytes()


def test_an_exchanged_weight_is_found(runs, copy):
    weights = load_file(copy / "model.safetensors")
    first, second = (f"model.layers.{layer}.mlp.up_proj.weight" for layer in (0, 1))
    weights[first], weights[second] = weights[second].clone(), weights[first].clone()
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(merge.MergeError, match="not the policy's weight"):
        merge.check(find_checkpoint(runs / "sft"), copy)


def test_a_missing_weight_is_found(runs, copy):
    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(merge.MergeError, match="does not load cleanly"):
        merge.check(find_checkpoint(runs / "sft"), copy)


def test_embeddings_tied_by_mistake_are_found(runs, merged, tmp_path):
    model = Path(shutil.copytree(merged["grpo"], tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    weights = load_file(model / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(merge.MergeError, match=r"lm_head.weight: not the policy's"):
        merge.check(find_checkpoint(runs / "grpo"), model)


def test_another_chat_template_is_found(runs, copy):
    (copy / "chat_template.jinja").write_text("{{ messages[0].content }}<|im_end|>")
    with pytest.raises(merge.MergeError, match="chat template"):
        merge.check(find_checkpoint(runs / "sft"), copy)


def test_a_lost_end_of_turn_is_found(runs, copy):
    (copy / "generation_config.json").write_text("{}")
    with pytest.raises(merge.MergeError, match="end of turn"):
        merge.check(find_checkpoint(runs / "sft"), copy)


def test_logits_that_differ_or_are_no_numbers_are_refused():
    logits = torch.randn(5, 7)
    for wrong in (logits * 1.1, logits * float("nan")):
        with pytest.raises(merge.MergeError, match="logits differ"):
            fidelity.compare_logits(logits, wrong)


def test_an_existing_folder_is_refused(runs, merged, capsys):
    assert merge.main([str(runs / "sft")]) == 2
    assert "exists; give another --out, or --overwrite" in capsys.readouterr().err


def test_overwrite_replaces_the_folder_whole(runs, copy):
    (copy / "of_another_model.txt").touch()
    assert merge.main([str(runs / "sft"), "--out", str(copy), "--overwrite"]) == 0
    assert not (copy / "of_another_model.txt").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


def test_a_merge_that_a_scheduler_ends_leaves_nothing(runs, tmp_path):
    command = [sys.executable, "-m", "recipe.merge", runs / "sft", "--out", tmp_path / "out" / "model"]
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("merge: 1/2")
        assert list((tmp_path / "out").iterdir())
        process.terminate()
    assert process.returncode == 143
    assert not list((tmp_path / "out").iterdir())


def test_an_adapter_saved_alone_is_refused_in_one_line(runs, tmp_path, capsys):
    run = Path(shutil.copytree(runs / "lora", tmp_path / "run"))
    for shard in find_checkpoint(run).shards:
        state = torch.load(shard, weights_only=False)
        torch.save({name: value for name, value in state.items() if "lora_" in name}, shard)
    assert merge.main([str(run), "--out", str(tmp_path / "model")]) == 2
    assert "holds the LoRA adapter alone" in capsys.readouterr().err


@pytest.fixture
def lora_run(runs, tmp_path):
    """A copy of the LoRA run that knows its base."""
    run = Path(shutil.copytree(runs / "lora", tmp_path / "run", ignore=shutil.ignore_patterns("merged")))
    (run / "config.yaml").write_text(f"model: {{path: {runs / 'base'}}}\n")
    return run


def test_the_adapter_alone_is_the_checkpoints_and_names_its_base(runs, merged, lora_run, capsys):
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    assert merge.main([str(lora_run), "--adapter-only"]) == 0
    folder = lora_run / "adapter" / "global_step_1"
    assert capsys.readouterr().out.strip() == str(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == (str(runs / "base"), 4, 8)
    assert {"tokenizer.json", "chat_template.jinja", "README.md"} <= {path.name for path in folder.iterdir()}
    ids = torch.arange(40).view(1, 40)
    with torch.inference_mode():
        ours = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(merged["lora"], dtype=torch.float32)(ids).logits
    assert (ours - plain).norm() / plain.norm() < 0.01  # the merged one is rounded to bf16


def test_an_adapter_that_differs_from_the_checkpoint_is_not_written(lora_run, monkeypatch, capsys):
    monkeypatch.setattr(merge, "write_adapter", lambda state, lora, base, target: write_adapter(
        {name: weight * (2 if "lora_B" in name else 1) for name, weight in state.items()}, lora, base, target
    ))  # fmt: skip
    assert merge.main([str(lora_run), "--adapter-only"]) == 1
    assert "logits differ" in capsys.readouterr().err
    assert not list((lora_run / "adapter").iterdir())


def test_an_adapter_saved_alone_is_exported_alone(runs, lora_run):
    for shard in find_checkpoint(lora_run).shards:
        state = torch.load(shard, weights_only=False)
        torch.save({name: value for name, value in state.items() if "lora_" in name}, shard)
    assert merge.main([str(lora_run), "--adapter-only"]) == 0
    assert "no: it was saved without the model" in (lora_run / "adapter/global_step_1/README.md").read_text()


def test_a_full_fine_tuning_has_no_adapter_to_export(runs, capsys):
    assert merge.main([str(runs / "sft"), "--adapter-only"]) == 2
    assert "not a LoRA run; export the model without --adapter-only" in capsys.readouterr().err


def test_the_card_tells_base_data_configuration_and_validation(runs, tmp_path, capsys):
    run = Path(shutil.copytree(runs / "sft", tmp_path / "run", ignore=shutil.ignore_patterns("merged")))
    (run / "config.yaml").write_text("model: {path: Qwen/Qwen3-8B-Base}\ndata: {train_files: x/train.parquet}\n")
    (run / "manifest.json").write_text(json.dumps({"train.parquet": {"rows": 128, "sha256": "ab" * 32}}))
    rows = [{"step": 1, "data": {"val/loss": 1.5, "train/loss": 2}}, {"step": 9, "data": {"val/loss": 2.5}}]
    (run / "metrics").mkdir()
    (run / "metrics" / "20260102T030405.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = (_merge(run, "--step", "best") / "README.md").read_text()
    said = "merge: step 1 is the best by validation: loss 1.5000; the last, step 9: loss 2.5000"
    assert said in capsys.readouterr().err.splitlines()
    assert "base_model: Qwen/Qwen3-8B-Base" in card
    assert "| step | 1, the best of 2 validations |\n| precision |" in card
    assert "| `val/loss` | 1.5 |" in card
    assert "| train.parquet | 128 | abababababababab |" in card
    assert {"training_config.yaml", "data_manifest.json"} < {
        path.name for path in (run / "merged/global_step_1").iterdir()
    }


def test_a_local_base_is_named_without_its_path():
    record = model_card.RunRecord(config={"actor_rollout_ref": {"model": {"path": "/home/me/models/tiny"}}})
    card = model_card.render(record, 1, "GRPO", {})
    assert "| base model | tiny |" in card
    assert "/home" not in card
