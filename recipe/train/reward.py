"""The reward function that a GRPO run's configuration names, called as verl calls it.

Nothing here imports reward_fns: which module it is, the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from recipe.core.entities import DataError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def configured_reward(config: DictConfig) -> Callable[..., dict]:
    """`reward(data_source, completion, ground_truth, extra_info)` with the run's settings filled in.

    DataError for a function that can't be imported, or settings that it refuses.
    """
    from omegaconf import OmegaConf

    function = config.reward.custom_reward_function
    if str(function.path).endswith(".py"):
        raise DataError(
            f"reward.custom_reward_function.path={function.path}: a file, which verl's workers seek in another folder; "
            "put it into reward_fns, or into a folder of PYTHONPATH, and name it as a module: pkg://reward_fns.mine"
        )
    try:
        module = import_module(str(function.path).removeprefix("pkg://").replace("/", "."))
        compute_score = getattr(module, str(function.name))
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: no name of a module
        said = f"{function.path} {function.name} can't be imported ({error})"
        raise DataError(f"reward.custom_reward_function: {said}; name a module and a function in it") from error
    settings = OmegaConf.to_container(function.get("reward_kwargs") or {}, resolve=True)
    if check_settings := getattr(module, "check_reward_kwargs", None):
        check_settings(settings)
    return partial(compute_score, **settings)
