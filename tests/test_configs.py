"""Every experiment, composed over verl's own configuration: keys that exist, values that are the papers'."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module

import pytest
import yaml
from omegaconf import OmegaConf

from recipe.config import CONFIG_DIR, compose, experiments
from recipe.entities import DataError
from sft.losses import configured_loss

GRPO = [name for name in experiments() if name.startswith("grpo")]
SFT = [name for name in experiments() if name.startswith("sft")]
# Open dictionaries: verl hands them on as they are. What may stand in them is checked below or by whoever gets them.
OPEN = (
    "reward.custom_reward_function.reward_kwargs",
    "actor_rollout_ref.model.override_config",
    "model.override_config",
    "ray_kwargs.ray_init",
    "loss.",  # ours alone: read by sft/train.py
)


def flat(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, branch in tree.items() for k, v in flat(branch, f"{prefix}.{name}".strip(".")).items()}


def upstream(name):
    """verl's own configuration of the same trainer, untouched."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        return hydra_compose("ppo_trainer" if name in GRPO else "sft_trainer_engine")


def written(name):
    """Dotted names of all keys that our files of this experiment set."""
    keys, pending = set(), [(f"{name}.yaml", "")]
    while pending:
        file, package = pending.pop()
        tree = yaml.safe_load((CONFIG_DIR / file).read_text())
        for entry in tree.pop("defaults", []):
            entry = {entry: None} if isinstance(entry, str) else entry
            for group, choice in entry.items():
                if choice is None:
                    target, inner = f"{file.rpartition('/')[0]}/{group}.yaml".strip("/"), package
                else:
                    folder, _, inner = group.removeprefix("override ").partition("@")
                    target = f"{folder}/{choice}.yaml"
                if (CONFIG_DIR / target).is_file():
                    pending.append((target, inner))
        keys |= {f"{package}.{key}".strip(".") for key in flat(tree)}
    return keys


def known(base, key):
    """True if verl has this key: in its YAML, or as a field of the dataclass that the section becomes."""
    node, names = base, key.split(".")
    for depth, name in enumerate(names):
        if name in node:
            node = OmegaConf.to_container(node, resolve=False).get(name) if not isinstance(node, dict) else node[name]
            if not isinstance(node, dict):
                return True
            continue
        if "_target_" not in node:
            return False
        module, _, cls = node["_target_"].rpartition(".")
        fields = {field.name: field for field in dataclasses.fields(getattr(import_module(module), cls))}
        return name in fields and (depth == len(names) - 1 or "dict" in str(fields[name].type))
    return True


def test_there_is_a_config_for_each_published_variant_and_size():
    assert {f"grpo_qwen3_{size}_{v}" for size in ("8b", "1_7b") for v in ("paper", "trl", "verl")} <= set(GRPO)


@pytest.mark.parametrize("name", experiments())
def test_every_key_exists_in_verl(name):
    base = upstream(name)
    unknown = [key for key in written(name) if not key.startswith(OPEN) and not known(base, key)]
    assert unknown == []


def test_a_misspelt_key_would_be_found():
    base = upstream("grpo_tiny")
    assert not known(base, "actor_rollout_ref.actor.clip_ration_low")
    assert known(base, "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype")


@pytest.mark.parametrize("name", experiments())
def test_it_differs_from_verl_only_where_the_yaml_says_so(name):
    ours, theirs = compose(name), upstream(name)
    raw = flat(OmegaConf.to_container(theirs, resolve=False))
    says = written(name)
    for key, value in flat(OmegaConf.to_container(ours, resolve=False)).items():
        if raw.get(key) != value:
            assert any(key == said or key.startswith(f"{said}.") for said in says), f"{key} = {value}"


@pytest.mark.parametrize("name", experiments())
def test_the_experiment_is_named_after_its_file(name):
    assert compose(name).trainer.experiment_name == name


@pytest.mark.parametrize("name", GRPO)
def test_verl_accepts_it(name):
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    config = compose(name)
    assert config.trainer.n_gpus_per_node == (1 if "tiny" in name else 2 if "qwen2_5" in name else 8)
    assert not need_critic(config)
    validate_config(config, need_reference_policy(config), use_critic=False)


@pytest.mark.parametrize("name", SFT)
def test_sft_sections_become_verls_dataclasses(name):
    from verl.utils.config import omega_conf_to_dataclass

    config = compose(name)
    for section in (config.engine, config.optim, config.checkpoint):
        omega_conf_to_dataclass(section)
    assert config.data.custom_cls.path == "pkg://sft.dataset"


@pytest.mark.parametrize("name", GRPO)
def test_reward_settings_are_ones_that_the_reward_knows(name):
    reward = compose(name).reward.custom_reward_function
    module = import_module(reward.path.removeprefix("pkg://"))
    module.check_reward_kwargs(OmegaConf.to_container(reward.reward_kwargs))


@pytest.mark.parametrize("name", SFT)
def test_loss_settings_are_ones_that_the_loss_knows(name):
    loss = configured_loss(compose(name).get("loss"))
    assert (loss is not None) == name.endswith("_bio")


def test_the_plain_loss_is_a_switch():
    assert configured_loss(compose("sft_tiny_bio", ["loss=plain"]).loss) is None
    assert configured_loss(compose("sft_tiny_bio", ["loss.alpha=1.5"]).loss).keywords["alpha"] == 1.5


def test_the_tiny_bio_run_is_the_tiny_run_but_for_lengths_and_loss():
    bio, tiny = (flat(OmegaConf.to_container(compose(name), resolve=True)) for name in ("sft_tiny_bio", "sft_tiny"))
    differ = {key for key in bio.keys() | tiny.keys() if bio.get(key) != tiny.get(key)}
    run = {"trainer.experiment_name", "trainer.default_local_dir"}
    loss = {f"loss.{key}" for key in ("name", "alpha", "beta", "confidence", "detach_confidence")}
    assert differ - run == {"data.max_length"} | loss


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG_DIR / "model").glob("*.yaml")))
def test_every_model_file_is_one_for_both_stages(name):
    keys = flat(yaml.safe_load((CONFIG_DIR / "model" / f"{name}.yaml").read_text())).keys() - {"defaults"}
    path = compose("sft_tiny", [f"model={name}"]).model.path
    assert compose("grpo_tiny", [f"model@actor_rollout_ref.model={name}"]).actor_rollout_ref.model.path == path
    base = upstream("sft_tiny")
    assert [key for key in keys if not f"model.{key}".startswith(OPEN) and not known(base, f"model.{key}")] == []


@pytest.mark.parametrize("name", [name for name in SFT if not name.endswith("_lora")])
def test_lora_goes_over_any_sft_experiment(name):
    config = compose(name, ["+lora=sft"])
    assert (config.model.lora_rank, config.model.target_modules, config.optim.lr) == (32, "all-linear", 2e-4)


@pytest.mark.parametrize("name", [name for name in GRPO if not name.endswith("_lora")])
def test_lora_goes_over_any_grpo_experiment(name):
    config = compose(name, ["+lora=grpo"]).actor_rollout_ref
    assert (config.model.lora_rank, config.rollout.load_format, config.actor.optim.lr) == (32, "safetensors", 1e-5)


def test_ray_knows_the_settings_given_to_it():
    import ray

    keys = compose("grpo_tiny").ray_kwargs.ray_init.keys()
    assert set(keys) <= set(inspect.signature(ray.init).parameters)


# ------------------------------------------------------------------------------------------------ published figures
def figures(name):
    config = compose(name)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    return {
        "group": rollout.n,
        "prompts": config.data.train_batch_size,
        "mini": actor.ppo_mini_batch_size,
        "clip": (actor.clip_ratio_low, actor.clip_ratio_high),
        "iterations": actor.ppo_epochs,
        "std": config.algorithm.norm_adv_by_std_in_grpo,
        "kl": actor.kl_loss_coef,
        "lr": actor.optim.lr,
        "temperature": rollout.temperature,
        "epochs": config.trainer.total_epochs,
        "new_tokens": config.data.max_response_length,
        "weights": [config.reward.custom_reward_function.reward_kwargs[f"{part}_weight"] for part in ("f1", "schema")],
    }


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_papers_variant(size):
    seen = figures(f"grpo_qwen3_{size}_paper")
    assert seen["group"] * seen["prompts"] == 384
    assert (seen["clip"], seen["std"], seen["kl"], seen["epochs"]) == ((0.2, 0.2), False, 0.04, 1)
    assert (seen["new_tokens"], seen["weights"]) == (4096, [10, 1])


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_references_trl_variant(size):
    seen, config = figures(f"grpo_qwen3_{size}_trl"), compose(f"grpo_qwen3_{size}_trl")
    assert seen["group"] * seen["prompts"] == 448
    assert (seen["clip"], seen["iterations"], seen["kl"], seen["lr"]) == ((0.2, 0.28), 4, 0.04, 1e-6)
    assert (seen["temperature"], seen["epochs"], seen["weights"], seen["std"]) == (0.9, 1, [10, 1], False)
    assert (config.data.max_prompt_length, seen["new_tokens"]) == (2048, 4096)
    optim = config.actor_rollout_ref.actor.optim
    assert (optim.lr_scheduler_type, optim.lr_warmup_steps_ratio) == ("cosine", 0.1)
    assert config.actor_rollout_ref.actor.loss_agg_mode == "seq-mean-token-sum-norm"


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_references_verl_variant(size):
    seen, config = figures(f"grpo_qwen3_{size}_verl"), compose(f"grpo_qwen3_{size}_verl")
    assert (seen["group"], seen["prompts"], seen["mini"]) == (16, 256, 64)
    assert (seen["clip"], seen["std"], seen["kl"], seen["lr"]) == ((0.2, 0.2), True, 0.001, 1e-6)
    assert (seen["temperature"], seen["epochs"], seen["weights"]) == (1.0, 15, [1, 0])
    assert (config.data.max_prompt_length, seen["new_tokens"]) == (1024, 4096)
    assert not config.algorithm.use_kl_in_reward
    assert config.actor_rollout_ref.actor.kl_loss_type == "low_var_kl"
    assert config.actor_rollout_ref.actor.loss_agg_mode == "token-mean"


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_sft_as_in_the_paper(size):
    config = compose(f"sft_qwen3_{size}")
    assert (config.data.train_batch_size, config.data.max_length, config.trainer.total_epochs) == (256, 8192, 5)
    assert (config.optim.lr, config.optim.lr_scheduler_type, config.optim.lr_warmup_steps_ratio) == (
        2e-5,
        "cosine",
        0.03,
    )
    assert (config.optim.clip_grad, config.model.use_remove_padding, config.model.use_liger) == (1.0, True, True)
    assert config.model.enable_gradient_checkpointing


@pytest.mark.parametrize("size", ["0_6b", "1_7b"])
def test_bio_sft_as_in_the_paper(size):
    config = compose(f"sft_qwen3_{size}_bio")
    assert (config.data.train_batch_size, config.data.max_length, config.trainer.total_epochs) == (16, 640, 6)
    optim = config.optim
    assert (optim.optimizer, optim.lr, optim.lr_scheduler_type, optim.weight_decay) == ("AdamW", 5e-5, "constant", 0)
    assert optim.lr_warmup_steps_ratio == 0
    assert (config.loss.alpha, config.loss.beta, config.loss.confidence) == (1.2, 1.0, True)
    assert config.loss.detach_confidence is False


def test_an_unknown_experiment_or_override_is_one_line():
    for name, overrides in (("grpo_qwen9", []), ("grpo_tiny", ["trainer.nodes=2"])):
        with pytest.raises(DataError) as error:
            compose(name, overrides)
        assert "\n" not in str(error.value)
