"""An experiment's configuration, composed as verl's own commands compose it.

compose("grpo_qwen3_8b", ["trainer.nnodes=2"]).actor_rollout_ref.rollout.n   # 16
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_DIR = Path(__file__).resolve().parents[2] / "hydra_configs"


def experiments(config_dir: Path = CONFIG_DIR) -> list[str]:
    """Names of the experiment files, sorted."""
    return sorted(path.stem for path in config_dir.glob("*.yaml"))


def compose(name: str, overrides: Sequence[str] = (), config_dir: Path = CONFIG_DIR) -> DictConfig:
    """The composed, not yet resolved configuration. DataError for an unknown name or a bad override.

    Hydra takes half a second, so a process composes each experiment once. Each caller gets a copy.
    """
    return copy.deepcopy(_compose(name, tuple(overrides), config_dir))


def stage_of(config: Mapping) -> str:
    """`grpo` or `sft`, by the verl trainer whose configuration this is."""
    return "grpo" if "actor_rollout_ref" in config else "sft"


@functools.lru_cache(maxsize=256)
def _compose(name: str, overrides: tuple[str, ...], config_dir: Path) -> DictConfig:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    if not (config_dir / f"{name}.yaml").is_file():
        raise DataError(f"{config_dir / name}.yaml: no such experiment; there are {', '.join(experiments(config_dir))}")
    with initialize_config_dir(str(config_dir), version_base=None):
        try:
            return hydra_compose(name, [f"hydra.searchpath=['file://{_verls()}']", *overrides])
        except HydraException as error:
            raise DataError(f"{name}: {' '.join(str(error).split())}") from error


def _verls() -> Path:
    """The folder of verl's own configuration, found without importing verl, which takes seconds."""
    return Path(find_spec("verl").origin).parent / "trainer" / "config"
