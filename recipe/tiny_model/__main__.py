"""A language model small enough to train on two CPU cores: it takes the place of Qwen3-8B-Base without a GPU.

    python -m recipe.tiny_model --out tiny                     # trained from scratch
    python -m recipe.tiny_model --out random --random          # random weights, in seconds, for tests
    python -m recipe.tiny_model --out tiny --eval              # held-out scores of the model in tiny

The folder is a Hugging Face one: transformers' own Qwen3ForCausalLM (4.2M parameters, bf16) and a byte-level BPE
tokenizer of 4,096 entries with Qwen's chat tokens and template. It is a *base* model: trained on plain-text questions
about sentences (`questions.py`), it can find and copy, and knows no chat, no think block, no prompt of ours.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.think import template_reasoning
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError, Entity, Example
from recipe.core.files import whole
from recipe.tiny_model import questions as tiny_questions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

SAMPLE = Path(__file__).resolve().parents[2] / "data_prep" / "sample"
END_OF_TEXT, TURN_START, TURN_END = SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK = ("<think>", "</think>")  # not special, as in Qwen3: decoding keeps them
SEQUENCE, SEQUENCES = 512, 8  # tokens in a packed sequence, sequences in a step
PROMPT_WEIGHT = 0.1  # loss of a prompt's token against 1 for an answer's

# As Qwen's (words, single digits, punctuation with its newlines, whitespace), but the space before a word is a token of
# its own unless the word is short: a name is then the same tokens inside quotes as in the sentence, and easy to copy.
_SPLIT = r" ?[a-z]{1,3}(?!\p{L})|\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Qwen3's conventions: the reasoning of earlier turns is left out, the answer to the last user turn has a think block.
_CHAT = Path(__file__).parent / "base" / "chat_template.jinja"


# ---------------------------------------------------------------------------------------------- tokenizer, model


def build_tokenizer(texts: Iterable[str], vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocab_size` entries, all included; fewer only if the texts have no more to merge.

    Any text comes back byte for byte: nothing is normalised, every byte has a token.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    added = len(SPECIAL) + len(THINK)
    if vocab_size < 256 + added:
        raise DataError(f"vocabulary of {vocab_size}: a byte-level tokenizer with chat tokens needs {256 + added}")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - added, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in THINK])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START, TURN_END],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
        padding_side="left",
    )
    tokenizer.chat_template = _CHAT.read_text(encoding="utf-8")
    return tokenizer


def tokenizer_texts(corpus: tiny_questions.Corpus) -> Iterator[str]:
    """Train sentences, and for some of them the prompt and answer of `recipe.answers`, so that those stay short."""
    for records in corpus.train.values():
        for i, record in enumerate(records):
            yield record.sentence
            if i % 10 == 0:
                found = tiny_questions.ask_entities(record).found
                entities = tuple(Entity(name, label) for name, label in found)
                example = Example(record.sentence, record.types, entities)
                yield answers.render_prompt(example)
                yield answers.render_answer(replace(example, reasoning=template_reasoning(example)))


def build_model(
    vocab_size: int = 4096,
    hidden_size: int = 256,
    layers: int = 4,
    heads: int = 4,
    kv_heads: int = 2,
    mlp: int | None = None,
    seed: int = 0,
) -> Qwen3ForCausalLM:
    """A Qwen3ForCausalLM with random fp32 weights and tied embeddings. Its end-of-text id is the tokenizer's."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    end = vocab_size - len(SPECIAL) - len(THINK)
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=mlp or 3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden_size // heads,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write a Hugging Face folder with bf16 weights. It appears whole or not at all; other files in it stay."""
    import torch
    from transformers import GenerationConfig

    out = Path(out)
    work = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    end, turn_end = tokenizer.convert_tokens_to_ids([END_OF_TEXT, TURN_END])
    copy.generation_config = GenerationConfig(eos_token_id=[end, turn_end], pad_token_id=end, do_sample=False)
    copy.to(torch.bfloat16).save_pretrained(work)
    tokenizer.save_pretrained(work)
    for path in work.iterdir():
        path.chmod(0o644)  # safetensors writes for its owner alone
    if out.exists():
        for path in work.iterdir():
            path.replace(out / path.name)
        work.rmdir()
    else:
        work.rename(out)


# -------------------------------------------------------------------------------------------------------- training


def batch(
    corpus: tiny_questions.Corpus, tokenizer: PreTrainedTokenizerFast, step: int, steps: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and loss weights of one step, both (SEQUENCES, SEQUENCE + 1); the same for the same arguments.

    Rows are laid end to end, <|endoftext|> after each. The share of rules falls from 70% to 10% of the rows in
    the first 60% of the steps.
    """
    import torch

    rng = random.Random(f"{seed}/{step}")
    rules = 0.1 + 0.6 * max(0.0, 1 - step / (0.6 * steps))
    background = [rng.choice(records).sentence for records in corpus.train.values()]
    ids, weights = [], []
    while len(ids) < SEQUENCES * (SEQUENCE + 1):
        ask = tiny_questions.some_rules if rng.random() < rules else tiny_questions.some_entities
        pairs = [tiny_questions.write(ask(corpus, rng), rng, background) for _ in range(8)]
        flat = tokenizer([text for pair in pairs for text in pair]).input_ids
        for prompt, answer in zip(flat[::2], flat[1::2], strict=True):
            ids += [*prompt, *answer, tokenizer.eos_token_id]
            weights += [PROMPT_WEIGHT] * len(prompt) + [1.0] * (len(answer) + 1)
    shape = (SEQUENCES, SEQUENCE + 1)
    size = math.prod(shape)
    return torch.tensor(ids[:size]).view(shape), torch.tensor(weights[:size]).view(shape)


def loss(model: Qwen3ForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the next-token cross entropy. `ids` and `weights`: (sequences, tokens + 1)."""
    import torch

    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (each * weights).sum() / weights.sum()


def optimizers(model: Qwen3ForCausalLM, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    import torch

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def train(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: tiny_questions.Corpus,
    steps: int,
    lr: float = 4e-3,
    seed: int = 0,
    out: Path | None = None,
    minutes: float | None = None,
    save_every: float = 8.0,
    compiled: bool = True,
) -> list[float]:
    """Train in place for `steps` (fewer if `minutes` run out); returns each step's loss.

    Warm-up over 2% of the steps, then a cosine down to a twentieth. With `out`, a usable folder and a checkpoint
    to go on from stand there every `save_every` minutes; a checkpoint found there is gone on from.
    """
    import torch
    from tqdm import tqdm

    model.train()
    tools = optimizers(model, lr)
    first, losses = 0, []
    checkpoint = Path(out) / "checkpoint.pt" if out else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["steps"] != steps or state["seed"] != seed:
            raise DataError(f"{checkpoint}: of another run ({state['steps']} steps, seed {state['seed']}); remove it")
        model.load_state_dict(state["model"])
        for tool, saved in zip(tools, state["tools"], strict=True):
            tool.load_state_dict(saved)
        first = state["step"]
    step_loss = torch.compile(loss, dynamic=False) if compiled else loss
    began = saved_at = time.monotonic()
    bar = tqdm(range(first, steps), initial=first, total=steps, unit="step", mininterval=5, disable=out is None)
    for step in bar:
        rate = min(1.0, (step + 1) / (0.02 * steps + 1)) * (0.525 + 0.475 * math.cos(math.pi * step / steps))
        for tool in tools:
            tool.param_groups[0]["lr"] = lr * rate
        ids, weights = batch(corpus, tokenizer, step, steps, seed)
        with torch.autocast("cpu", torch.bfloat16):
            value = step_loss(model, ids, weights)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for tool in tools:
            tool.step()
            tool.zero_grad(set_to_none=True)
        losses.append(value.item())
        recent = losses[-50:]
        bar.set_postfix(loss=f"{sum(recent) / len(recent):.3f}", refresh=False)
        now = time.monotonic()
        spent = minutes is not None and now - began > 60 * minutes
        if out and (now - saved_at > 60 * save_every or spent):
            save(model, tokenizer, out)
            state = {"model": model.state_dict(), "tools": [t.state_dict() for t in tools], "step": step + 1}
            with whole(checkpoint) as work:
                torch.save({**state, "steps": steps, "seed": seed}, work)
            saved_at = now
            bar.write(f"step {step + 1} of {steps}: {json.dumps(evaluate(model, tokenizer, corpus, 16))}", sys.stderr)
        if spent:
            break
    return losses


# ------------------------------------------------------------------------------------------------------ evaluation


def evaluate(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: tiny_questions.Corpus, sentences: int = 100
) -> dict[str, float]:
    """Exact-match F1 of greedy answers to dev sentences, by dataset (micro; name and type, each once a sentence)."""
    import torch

    was = model.training
    model.eval()
    asked: list[tuple[str, tiny_questions.Exercise]] = []
    for dataset, records in corpus.dev.items():
        short = [r for r in records if len(r.sentence) <= LONGEST_HELD_OUT]
        picked = random.Random(0).sample(short, min(sentences, len(short)))
        asked += [(dataset, tiny_questions.ask_entities(record)) for record in picked]
    asked.sort(key=lambda pair: len(pair[1].sentence))
    counts = {dataset: [0, 0] for dataset in corpus.dev}
    for i in range(0, len(asked), 64):
        part = asked[i : i + 64]
        prompts = [tiny_questions.write_plain(question)[0] for _, question in part]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=160, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for (dataset, question), answer in zip(part, tokens[:, inputs.input_ids.shape[1] :], strict=True):
            found = tiny_questions.read_plain(tokenizer.decode(answer, skip_special_tokens=True))
            truth = set(question.found)
            counts[dataset][0] += 2 * len(found & truth)
            counts[dataset][1] += len(found) + len(truth)
    model.train(was)
    return {dataset: round(twice / max(1, total), 3) for dataset, (twice, total) in counts.items()}


LONGEST_HELD_OUT = 400  # characters; nearly all sentences


# ---------------------------------------------------------------------------------------------------- command line


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.tiny_model",
        __doc__.split("\n", 1)[0],
        "python -m recipe.tiny_model --out tiny",
        "python -m recipe.tiny_model --out tiny --max-steps 1000 --data my_data",
        "python -m recipe.tiny_model --out random --random --hidden-size 64 --layers 2",
        "python -m recipe.tiny_model --out recipe/tiny_model/base --eval",
    )
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--data", type=Path, default=SAMPLE, help="holds IE_INSTRUCTIONS/NER (default: the sample)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=4500, help="of 4,096 tokens (default %(default)s)")
    parser.add_argument("--minutes", type=float, help="stop after this long; the schedule stays that of --max-steps")
    parser.add_argument("--save-every", type=float, default=8.0, metavar="MINUTES")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, which needs a C++ compiler")
    parser.add_argument("--random", action="store_true", help="random weights, no training")
    parser.add_argument("--eval", action="store_true", help="only measure held-out F1 of the model in --out")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is wrong with the input."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; spinning threads slow a shared machine
    return exit_status("tiny_model", lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.max_steps < 1 or args.hidden_size % 8 or args.hidden_size < 8 or args.layers < 1:
        raise DataError("--max-steps and --layers must be at least 1, --hidden-size a multiple of 8")
    corpus = tiny_questions.read_corpus(args.data)
    if args.eval:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(args.out, dtype="float32")
        print(json.dumps(evaluate(model, AutoTokenizer.from_pretrained(args.out), corpus)))
        return
    tokenizer = build_tokenizer(tokenizer_texts(corpus), args.vocab_size)
    model = build_model(len(tokenizer), args.hidden_size, args.layers, seed=args.seed)
    if not args.random:
        print(f"{len(corpus.sentences)} train sentences, {corpus.dropped} dropped (in dev or test)", file=sys.stderr)
        print(f"{model.num_parameters():,} parameters", file=sys.stderr)
        train(
            model,
            tokenizer,
            corpus,
            args.max_steps,
            args.lr,
            args.seed,
            args.out,
            args.minutes,
            args.save_every,
            not args.no_compile,
        )
    save(model, tokenizer, args.out)
    (args.out / "checkpoint.pt").unlink(missing_ok=True)
    if not args.random:
        print(json.dumps(evaluate(model, tokenizer, corpus)))


if __name__ == "__main__":
    sys.exit(main())
