"""Everything that can be known to go wrong before a model is loaded, in half a minute for 50,000 rows.

    python -m recipe.preflight grpo_qwen3_8b data.train_files=data/grpo/train.parquet

Data files and their columns, every row as the trainer will read it, the model folder, its end tokens against its
chat template, the reward on every gold answer, batch sizes against ranks, devices, disk, and the settings that follow
from model and machine (`recipe.train.derived`). `recipe.train` calls `check`.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe import answers, eos
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.core.ground_truth import from_ground_truth
from recipe.models import retention
from recipe.models.chat import encode_prompts
from recipe.models.checkpoints import newest
from recipe.models.folder import model_config, positions
from recipe.models.validation import early_stop, patience_of
from recipe.models.weight_bucket import Model
from recipe.train import backbone, derived
from recipe.train import config as experiment
from recipe.train.batches import batch_size
from recipe.train.config import stage_of
from recipe.train.reward import configured_reward

if TYPE_CHECKING:
    from omegaconf import DictConfig

_WRITE_IT = "write it with: python data_prep/to_parquet.py {}"
# GRPO's rows that are tokenized together.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do: `lines` for people, `steps` for the guard at its end, `derived` overrides to add."""

    stage: str
    steps: int
    run: Path
    model: Path
    lines: tuple[str, ...]
    derived: tuple[str, ...] = ()


def check(name: str, overrides: Sequence[str] = (), ranks: int | None = None) -> Plan:
    """Check one experiment; DataError names the first thing that is wrong and its remedy.

    `ranks` are SFT's processes; GRPO's are in its configuration.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = experiment.compose(name, overrides)
    try:
        stage = stage_of(config)
        OmegaConf.resolve(config.trainer)
        section = config.model if stage == "sft" else config.actor_rollout_ref.model
        world = ranks or int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)
        run = Path(config.trainer.default_local_dir).expanduser()
    except OmegaConfBaseException as error:
        raise DataError(f"{name}: {' '.join(str(error).split())}") from error
    _check_device(str(config.trainer.device), name, stage)
    folder, tokenizer = backbone.check(section, stage)
    backbone.check_lengths(config, stage, folder)
    backbone.check_lora(section)
    config, settings = _derive(name, overrides, config, folder)
    if stage == "sft":
        rows = _check_sft_data(config, tokenizer)
    else:
        eos.check_eos(folder, tokenizer)
        rows = _check_grpo_data(config, tokenizer)
        _check_grpo(config)
    _check_seed(config)
    batch = batch_size(config, world)
    if rows < batch:
        raise DataError(f"{config.data.train_files}: {rows} rows, data.train_batch_size={batch}; lower the latter")
    epochs = int(config.trainer.total_epochs)
    most = rows // batch * epochs
    steps = int(config.trainer.total_training_steps or most)
    if steps > most:
        raise DataError(
            f"trainer.total_training_steps={steps}, but {rows} rows in batches of {batch} over {epochs} epochs "
            f"are {most} steps; raise trainer.total_epochs"
        )
    done = newest(run) >= steps or bool(early_stop(run, patience_of(config)))  # nothing more is written
    need = 0 if done else _check_disk(run, folder, config, bool(section.get("lora_rank")))
    lines = (
        f"stage      {stage}, {steps} steps of {batch} rows, {world} rank(s) on {config.trainer.device}",
        f"data       {config.data.train_files}: {rows} rows",
        f"model      {folder}",
        backbone.describe(tokenizer),
        f"run        {run} (about {need / 1e9:.1f} GB of checkpoints)",
        *(setting.line for setting in settings),
    )
    return Plan(stage, steps, run, folder, lines, tuple(setting.override for setting in settings))


def _derive(
    name: str, overrides: Sequence[str], config: DictConfig, folder: Path
) -> tuple[DictConfig, tuple[derived.Derived, ...]]:
    """The configuration with the settings that follow from model and machine, and these. DataError for wrong ones."""
    model, machine = Model.of_folder(folder, model_config(folder)), derived.Machine.here(config)
    settings = derived.derive(config, overrides, model, machine)
    config = experiment.compose(name, [*overrides, *(setting.override for setting in settings)])
    derived.check(config, model, machine, positions(folder))
    return config, settings


def _check_device(device: str, name: str, stage: str) -> None:
    if device == "cpu":
        if os.environ.get("VERL_PLATFORM") != "cpu":
            raise DataError(f"{name}: runs without a GPU, so set VERL_PLATFORM=cpu, or use python -m recipe.train")
        from recipe import cpu

        cpu.check()
    elif stage == "sft" or not os.environ.get("RAY_ADDRESS"):  # a cluster's GPUs need not be where its driver is
        import torch

        if not torch.cuda.is_available():
            raise DataError(
                f"{name}: wants a GPU and this machine shows none; set RAY_ADDRESS to a cluster that has some, "
                "or take grpo_tiny, sft_tiny or another experiment with hardware=cpu"
            )


def _check_seed(config: DictConfig) -> None:
    """A seed that is no number ends a run late, in a worker. Without one verl draws GRPO's answers anew each time."""
    seed = config.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise DataError(f"seed={seed}: not a whole number from 0 to 2^32 - 1; data.seed=null draws answers without one")


def files(value: object) -> list[str]:
    """Paths of a setting that is one, a list of some, or null; `data.val_files=` on a command line is empty, too."""
    return [str(path) for path in ([value] if isinstance(value, str) else value or ()) if str(path)]


def _named(data: Mapping[str, Any], split: str, stage: str) -> list[str]:
    """The files of a split; DataError if there is none."""
    paths = files(data[f"{split}_files"])
    if not paths:
        raise DataError(f"data.{split}_files: names no file; {_WRITE_IT.format(stage)}")
    return paths


def _read(path: str, columns: Sequence[str], remedy: str) -> list[dict[str, Any]]:
    """Rows of a Parquet file, the named columns only."""
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    try:
        table = pq.read_table(Path(path).expanduser(), columns=list(columns))
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: can't be read ({' '.join(str(error).split())[:120]}); {remedy}") from error
    for column in columns:
        if column not in table.column_names:
            raise DataError(f"{path}: no column {column!r}; {remedy}")
    return table.to_pylist()


def _check_sft_data(config: DictConfig, tokenizer) -> int:
    """How many training rows there are; each file's are read as the run will, by its own dataset."""
    from omegaconf import OmegaConf

    losses, dataset = import_module("sft.losses"), import_module("sft.dataset")
    # Inside torchrun an unknown loss would be a traceback of every rank.
    loss = losses.configured_loss(OmegaConf.to_container(config.get("loss") or OmegaConf.create(), resolve=True))
    settings = {**OmegaConf.to_container(config.data, resolve=True), losses.BEGIN_MASK: loss is not None}
    rows = {}
    for split in ("val", "train"):
        if split == "val" and not files(config.data.val_files):
            continue
        paths = _named(config.data, split, "sft")
        limit = int(config.data.get(f"{split}_max_samples") or -1)
        read = dataset.AnswerDataset(paths, tokenizer, settings, max_samples=limit)
        read.check()
        rows[split] = len(read)
    return rows["train"]


def _check_grpo_data(config: DictConfig, tokenizer) -> int:
    """How many training rows verl keeps, which drops prompts over data.max_prompt_length.

    Fewer still, where it draws data.train_max_samples among which some are too long.
    """
    from omegaconf import OmegaConf

    remedy = _WRITE_IT.format("grpo")
    columns = ["data_source", "prompt", "reward_model", "extra_info"]
    reward, data = configured_reward(config), OmegaConf.to_container(config.data, resolve=True)
    kept = 0
    for split in ("val", "train"):
        lengths: list[int] = []
        for path in _named(data, split, "grpo"):  # verl's GRPO can't do without one for validation
            rows = _read(path, columns, remedy)
            names = [f"{path}, row {index}" for index in range(len(rows))]
            for start in range(0, len(rows), _BATCH):
                batch, named = rows[start : start + _BATCH], names[start : start + _BATCH]
                prompts = [row["prompt"] for row in batch]
                try:
                    ids = encode_prompts(tokenizer, prompts, named, **(data.get("apply_chat_template_kwargs") or {}))
                    for row, name in zip(batch, named, strict=True):
                        _check_gold(row, reward, name)
                except DataError as error:
                    raise DataError(f"{error}; {remedy}") from error
                lengths += map(len, ids)
        limit = int(data.get(f"{split}_max_samples") or -1)
        kept = sum(length <= data["max_prompt_length"] for length in lengths)
        kept = min(kept, limit) if limit > 0 else kept
    return kept


def _check_gold(row: dict[str, Any], reward: Callable[..., dict], name: str) -> None:
    """DataError unless the row's gold, written as an answer, is worth more than an answer that can't be read.

    Where the gold has no entity, a reward may pay nothing for saying so.
    """
    try:
        truth = row["reward_model"]["ground_truth"]
        example = from_ground_truth(truth)
        gold = answers.render_answer(replace(example, reasoning="These are named."))
        scores = [reward(row["data_source"], text, truth, row["extra_info"])["score"] for text in (gold, "")]
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if scores[0] < scores[1] or (scores[0] == scores[1] and example.facts):
        raise DataError(
            f"{name}: its own gold answer gets {scores[0]:g}, an unreadable one {scores[1]:g}; give the reward other "
            "weights (reward.custom_reward_function.reward_kwargs) unless the row is at fault"
        )


def _check_grpo(config: DictConfig) -> None:
    """DataError for what verl itself refuses, and for a group of one."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it says that all is well
            warnings.simplefilter("ignore")
            validate_config(config, need_reference_policy(config), need_critic(config))
    except (AssertionError, ValueError, TypeError) as error:
        raise DataError(f"verl refuses the configuration: {' '.join(str(error).split())}") from error
    completions = int(config.actor_rollout_ref.rollout.n)
    if completions < 2:
        raise DataError(f"actor_rollout_ref.rollout.n={completions}: a group needs two completions to be compared")


def _check_disk(run: Path, folder: Path, config: DictConfig, lora: bool) -> int:
    """Bytes that checkpoints take at their most, an adapter left out; DataError if the disk hasn't as much."""
    parameters, kept = backbone.parameters(folder), retention.kept(config)
    need = kept.most * retention.checkpoint_bytes(parameters, 0 if lora else parameters)
    at = run.absolute()
    while not at.exists():
        at = at.parent
    free, there = shutil.disk_usage(at).free, retention.replaced(run, kept)
    if free + there < need:
        held = f", and {there / 1e9:.1f} GB in {run} that the run makes room with" if there else ""
        raise DataError(
            f"{at}: {free / 1e9:.1f} GB free{held}; {kept.most} checkpoints take about {need / 1e9:.1f} GB; "
            "free some, keep fewer, or set trainer.default_local_dir"
        )
    return need


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.preflight",
        "Check an experiment before anything is loaded.",
        "python -m recipe.preflight grpo_qwen3_8b trainer.nnodes=2",
    )
    parser.add_argument("experiment", help="name of a file in hydra_configs, without .yaml")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, as for training")
    parser.add_argument("--ranks", type=int, help="SFT's processes (default: as configured)")
    args = parser.parse_args(argv)
    return exit_status("preflight", lambda: print("\n".join(check(args.experiment, args.overrides, args.ranks).lines)))
