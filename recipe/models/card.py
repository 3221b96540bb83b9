"""The README.md of an exported model: what it was made from, how, and what was measured on the way.

Everything is read from what a run leaves behind; what is not there is left out:

    RUN/config.yaml or RUN/.hydra/config.yaml    the composed configuration
    RUN/manifest.json                            data_prep's manifest; else the one beside the training file
    RUN/metrics/*.jsonl or RUN/*.jsonl           verl's `file` logger: {"step": 8, "data": {"val/loss": 1.93}}
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.models.run_log import read_metrics
from recipe.models.validation import best, validations

CONFIGS = ("config.yaml", ".hydra/config.yaml", "run.json")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is known about a run: the files found and what was read from them."""

    config_file: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    manifest_file: Path | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    validation_step: int | None = None
    validation: dict[str, float] = field(default_factory=dict)
    best_of: int = 0  # validations, if this step's is the best of the run's

    @property
    def base(self) -> str | None:
        """The model the run started from, as its configuration names it."""
        for keys in (("actor_rollout_ref", "model", "path"), ("model", "path"), ("base",)):
            if isinstance(value := at(self.config, keys), str):
                return value
        return None


def at(tree: Any, keys: Iterable[str]) -> Any:
    """The value under these keys of a nested configuration, None without it."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def read_run(run: Path, step: int) -> RunRecord:
    """The record of a run up to a step. A file that cannot be read counts as absent: the export doesn't hang on it."""
    config_file = next((run / name for name in CONFIGS if (run / name).is_file()), None)
    config = _read_mapping(config_file)
    candidates = [run / "manifest.json", *(Path(f).parent / "manifest.json" for f in _train_files(config))]
    manifest_file = next((path for path in candidates if path.is_file()), None)
    validation_step, validation = _last_validation(run, step)
    found, manifest = validations(run), _read_mapping(manifest_file)
    best_of = len(found) if best(found) == step else 0
    return RunRecord(config_file, config, manifest_file, manifest, validation_step, validation, best_of)


def render(record: RunRecord, step: int, layout: str, facts: dict[str, str], library: str = "transformers") -> str:
    """The card as Markdown. `layout` is "SFT" or "GRPO"; `facts` are lines about the export itself."""
    from jinja2 import Template

    base = record.base
    is_local = base is None or base.count("/") != 1 or base.startswith(("/", ".", "~")) or Path(base).exists()
    shown = (Path(base).name if base else "not recorded") if is_local else base
    text = (Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8")
    return Template(text, trim_blocks=True, keep_trailing_newline=True).render(
        record=record,
        step=step,
        layout=layout,
        facts=facts,
        library=library,
        base=shown,
        of_hub=not is_local,
        config_name=config_name(record),
    )


def config_name(record: RunRecord) -> str:
    """The configuration's file name in the exported folder."""
    return f"training_config{record.config_file.suffix}" if record.config_file else ""


def _read_mapping(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return value if isinstance(value, dict) else {}


def _train_files(config: dict[str, Any]) -> list[str]:
    files = at(config, ("data", "train_files"))
    files = [files] if isinstance(files, str) else files
    return [file for file in files or [] if isinstance(file, str)]


def _last_validation(run: Path, step: int) -> tuple[int | None, dict[str, float]]:
    """The newest validation figures not after `step` in the logger's files."""
    for at, data in reversed(read_metrics(run).items()):
        figures = {name: float(value) for name, value in data.items() if name.startswith("val")}
        if figures and at <= step:
            return at, figures
    return None, {}
