"""Each backbone's architecture, kind of tokenizer and chat template, from data to loss, on a tiny random model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from backbones import ANSWER, EXAMPLE, OTHERS, PROMPT, overrides, write
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipe import eos, internlm2
from recipe.answers import control_tokens, json_answer
from recipe.core.entities import DataError
from recipe.models import chat
from recipe.train import checks as preflight
from recipe.train.config import compose
from sft.dataset import AnswerDataset

pytestmark = pytest.mark.usefixtures("any_vllm")
ROOT = Path(__file__).resolve().parent.parent
NAMES = ["qwen3_8b", "qwen2_5_1_5b", "llama3_1_8b", "llama2_7b", "internlm2_7b", *OTHERS]
LLAMAS = ["llama3_1_8b", "llama2_7b"]  # bases without a chat template
END = {"qwen3_8b": "<|im_end|>", "qwen2_5_1_5b": "<|im_end|>", "internlm2_7b": "<|im_end|>"}
END |= {"llama3_1_8b": "<|eot_id|>", "llama2_7b": "</s>", "tinyllama_chat": "</s>", "mistral_instruct": "</s>"}
END |= {"gpt2_tokens": "<|endoftext|>", "smollm2": "<|im_end|>"}
BEGIN = {"llama3_1_8b": "<|begin_of_text|>", "llama2_7b": "<s>", "internlm2_7b": "<s>", "mistral_instruct": "<s>"}
FIRST = BEGIN | {"gpt2_tokens": "<|endoftext|>", "tinyllama_chat": "<|user|>"}
QUESTION = [{"role": "user", "content": PROMPT}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Backbone -> its folder, as its hub's or, for InternLM2, converted."""
    pytest.importorskip("sentencepiece")
    work = tmp_path_factory.mktemp("backbones")
    made = {name: write(name, work / name) for name in NAMES}
    internlm2.convert(made["internlm2_7b"], work / "converted")
    return {**made, "internlm2_7b": work / "converted", "internlm2_raw": made["internlm2_7b"]}


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(folders, name):
    """The backbone's tokenizer with the chat template of its run."""
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    template = compose("sft_tiny", overrides(name, folders[name])).model.custom_chat_template
    tokenizer.chat_template = template or tokenizer.chat_template
    return tokenizer


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """SFT rows: one question and its answer, eight times."""
    path = tmp_path_factory.mktemp("rows") / "train.parquet"
    pq.write_table(pa.table({"messages": [[*QUESTION, {"role": "assistant", "content": ANSWER}]] * 8}), path)
    return str(path)


@pytest.fixture(scope="module")
def row(rows, tokenizer):
    row = AnswerDataset(rows, tokenizer, {"max_length": 4096})[0]
    ids, kept = row["input_ids"].tolist(), row["loss_mask"].bool()
    return SimpleNamespace(prompt=row["input_ids"][~kept].tolist(), answer=row["input_ids"][kept].tolist(), ids=ids)


def test_sft_prompt_is_the_rollouts_and_the_evaluations(row, tokenizer):
    from verl.utils.tokenizer import normalize_token_ids
    from verl.utils.tokenizer.chat_template import apply_chat_template

    rollout = apply_chat_template(tokenizer, QUESTION, tokenize=True, add_generation_prompt=True, tools=None)
    assert row.prompt == chat.encode_prompt(tokenizer, QUESTION) == normalize_token_ids(rollout)


def test_a_prompt_begins_once_as_the_model_was_pretrained(row, tokenizer, name):
    text = tokenizer.decode(row.ids)
    assert text.count(BEGIN.get(name, "<none>")) == (name in BEGIN)
    assert text.startswith(FIRST.get(name, "<|im_start|>"))
    assert chat.lacks_bos(tokenizer) == (name == "tinyllama_chat")  # its publisher's template has none


def test_the_prompts_text_is_whole(row, tokenizer):
    assert PROMPT in tokenizer.decode(row.prompt)


def test_the_loss_is_on_the_answer_and_the_end_token(row, tokenizer, name):
    assert tokenizer.convert_ids_to_tokens(row.answer[-1]) == END[name]
    assert tokenizer.decode(row.answer).strip() == f"{ANSWER}{END[name]}"


def test_what_a_rollout_decodes_parses_to_the_gold(row, tokenizer):
    text = tokenizer.decode(row.answer, skip_special_tokens=True)
    assert json_answer.parse(text).entities == EXAMPLE.entities


def test_generation_is_told_to_stop_there(folders, tokenizer, name, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    for file in folders[name].glob("*config.json"):
        if file.name != "tokenizer_config.json":
            (folder / file.name).write_bytes(file.read_bytes())
    if name == "llama3_1_8b":  # the base stops at the end of a text alone
        with pytest.raises(DataError, match=r"ends a turn with \d+ \(<\|eot_id\|>\); run: python -m recipe\.eos"):
            eos.check_eos(folder)
    assert tokenizer.convert_ids_to_tokens(eos.write_eos(folder)[0]) == END[name]
    assert tokenizer.convert_tokens_to_ids(END[name]) in eos.check_eos(folder)


def test_control_tokens_in_a_sentence_are_refused(tokenizer, name):
    for token in {END[name], BEGIN.get(name, END[name]), *tokenizer.all_special_tokens}:
        assert control_tokens.find_control_token(f"Ada {token} Bob", tokenizer) == token
        with pytest.raises(DataError, match="control token"):
            chat.encode_prompt(tokenizer, [{"role": "user", "content": f"Ada {token} Bob"}])


def test_turns_spelt_in_ordinary_tokens_are_refused_in_a_sentence(folders):
    for token in ("[INST]", "[/INST]", "<<SYS>>"):
        assert (
            control_tokens.find_control_token(f"Ada {token} Bob", AutoTokenizer.from_pretrained(folders["llama2_7b"]))
            == token
        )


def test_preflight_passes(folders, name, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    settings = [f"data.train_files={rows}", "data.train_batch_size=4", f"trainer.default_local_dir={tmp_path / 'run'}"]
    plan = preflight.check("sft_tiny", [*overrides(name, folders[name]), *settings])
    assert any(f"a turn ends with {END[name]}" in line for line in plan.lines)


def test_training_on_rows_of_it_lowers_their_loss(folders, tokenizer, row, name):
    model = AutoModelForCausalLM.from_pretrained(folders[name], dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.tensor([row.ids])
    labels = ids.clone()
    labels[0, : len(row.prompt)] = -100
    losses = []
    for _ in range(5):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


# ----------------------------------------------------------------------------------------------------- what is refused
def problem(folder, name, *settings, experiment="sft_tiny"):
    stage = experiment.partition("_")[0]
    with pytest.raises(DataError) as error:
        preflight.check(experiment, [*overrides(name, folder, stage), *settings])
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")


@pytest.mark.parametrize("name", LLAMAS)
def test_a_base_without_a_template_is_refused(folders, name, on_cpu):
    said = problem(folders[name], name, "model.custom_chat_template=null")
    assert "has no chat template; save one there" in said


@pytest.mark.parametrize("name", LLAMAS)
def test_a_template_of_another_model_is_refused(folders, name, on_cpu):
    other = "llama3_1_8b" if name == "llama2_7b" else "qwen"
    template = compose("sft_llama3_1_8b").model.custom_chat_template if other != "qwen" else internlm2.TEMPLATE
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    tokenizer.chat_template = template
    with pytest.raises(DataError, match=r"ends a turn with <\|(eot_id|im_end)\|>, which is no token"):
        chat.check_template(tokenizer)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "leaves out a message's text"),
        ("{{ raise_exception('no') }}", "fails on a question"),
        ("{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", "twice"),
    ],
)
def test_a_template_that_does_not_work_is_refused(folders, template, said):
    tokenizer = AutoTokenizer.from_pretrained(folders["llama3_1_8b"])
    tokenizer.chat_template = template
    with pytest.raises(DataError, match=said):
        chat.check_template(tokenizer)


def test_a_template_that_forgets_the_begin_of_text_is_noted(folders):
    tokenizer = AutoTokenizer.from_pretrained(folders["llama3_1_8b"])
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"
    assert chat.lacks_bos(tokenizer)


def test_grpo_on_a_base_whose_folder_has_no_template_is_refused(folders, on_cpu):
    """verl's filter of long prompts reads the folder's template, not the configuration's."""
    said = problem(folders["llama3_1_8b"], "llama3_1_8b", experiment="grpo_tiny")
    assert "start from a merged SFT model" in said


def test_an_unconverted_internlm2_is_refused_with_the_command(folders, on_cpu):
    said = problem(folders["internlm2_raw"], "internlm2_7b")
    assert f"python -m recipe.internlm2 {folders['internlm2_raw']} --out" in said


def test_sequences_longer_than_the_positions_are_refused(folders, on_cpu):
    assert "has 4096 positions" in problem(folders["llama2_7b"], "llama2_7b", "data.max_length=8192")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.lora.rank=8"], "set model.lora_rank"),
        (["model.lora_adapter_path=outputs/none"], "no effect without model.lora_rank"),
        (["model.lora_rank=8", "model.lora_adapter_path=outputs/none"], "no adapter there"),
        (["model.lora_rank=8", "model.lora_alpha=0"], "would add nothing"),
    ],
)
def test_lora_settings_without_effect_are_refused(folders, settings, said, on_cpu):
    assert said in problem(folders["qwen3_8b"], "qwen3_8b", *settings)


# ----------------------------------------------------------------------------------------------------------- InternLM2
def test_an_internlm2_tokenizer_is_its_sentencepiece_model(folders):
    import sentencepiece

    ours = AutoTokenizer.from_pretrained(folders["internlm2_7b"])
    theirs = sentencepiece.SentencePieceProcessor(str(folders["internlm2_raw"] / "tokenizer.model"))
    for text in (PROMPT, ANSWER, "  two  spaces", "a\n\nb 😀 東京"):
        ids = ours(text, add_special_tokens=False)["input_ids"]
        assert (ids, ours.decode(ids)) == (theirs.encode(text), text)


@pytest.mark.slow  # loads vLLM
def test_an_internlm2_fused_matrix_is_split_as_vllm_splits_it(folders):
    internlm = pytest.importorskip("vllm.model_executor.models.internlm2")
    raw, ours = (load_file(next(folders[name].glob("*.safetensors"))) for name in ("internlm2_raw", "internlm2_7b"))
    hidden = torch.randn(5, 64)
    shape = SimpleNamespace(tp_size=1, total_num_kv_heads=2, key_value_groups=2, head_dim=16, q_size=64, kv_size=32)
    theirs = internlm.InternLM2Attention.split_qkv(shape, hidden @ raw["model.layers.1.attention.wqkv.weight"].T)
    for part, expected in zip("qkv", theirs, strict=True):
        weight = ours[f"model.layers.1.self_attn.{part}_proj.weight"]
        torch.testing.assert_close(hidden @ weight.T, expected)


def test_only_an_internlm2_is_converted(folders, tmp_path, capsys):
    assert internlm2.main([str(folders["llama2_7b"]), "--out", str(tmp_path / "out")]) == 2
    assert "model_type 'llama', not internlm2" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------- verl's run
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.cpu_platform
def test_verl_trains_a_llama_base_and_its_merge_keeps_template_and_ends(folders, rows, tmp_path):
    run, folder = tmp_path / "run", folders["llama3_1_8b"]
    settings = [f"data.train_files={rows}", "data.train_batch_size=4", f"trainer.default_local_dir={run}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in (
        ["recipe.train", "sft_tiny", "--ranks", "1", *overrides("llama3_1_8b", folder), *settings],
        ["recipe.merge", str(run), "--out", str(tmp_path / "merged")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template == compose("sft_llama3_1_8b").model.custom_chat_template
    assert tokenizer.convert_ids_to_tokens(eos.read_eos(tmp_path / "merged")) == ["<|eot_id|>", "<|end_of_text|>"]
