"""Every experiment, composed over verl's own configuration: keys that exist, values that are the papers'."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
from importlib import import_module
from types import SimpleNamespace

import pytest
import yaml
from experiment_runs import GRPO, RUNS, SFT, VARIANTS, VARIED, composed
from omegaconf import OmegaConf

from recipe.core.entities import DataError
from recipe.train.config import CONFIG_DIR, compose
from sft.losses import configured_loss

# Open dictionaries: verl hands them on as they are. What may stand in them is checked below or by whoever gets them.
OPEN = (
    "reward.custom_reward_function.reward_kwargs",
    "actor_rollout_ref.model.override_config",
    "model.override_config",
    "ray_kwargs.ray_init",
    "trainer.v1.sampler.sampler_kwargs",
    "loss.",  # ours alone: read by sft/train.py
    "variant",  # ours alone: a part of the run's name
    "seed",  # ours alone: other seeds refer to it
)


def flat(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, branch in tree.items() for k, v in flat(branch, f"{prefix}.{name}".strip(".")).items()}


def upstream(name):
    """verl's own configuration of the same trainer, untouched."""
    return _upstream("ppo_trainer" if name in GRPO else "sft_trainer_engine")


@functools.cache
def _upstream(trainer):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        return hydra_compose(trainer)


def written(name):
    """Dotted names of all keys that our files of this run set."""
    name, *overrides = name.split()
    chosen = dict(override.split("=") for override in overrides)
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
                    target = f"{folder}/{chosen.get(group, choice)}.yaml"
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
    """Runs of two variants must not share a folder."""
    assert set(VARIED) == {"grpo_qwen3_8b", "grpo_qwen3_1_7b"} <= set(GRPO)
    for name in VARIED:
        for variant in VARIANTS:
            trainer = composed(name, [f"method=grpo_{variant}"]).trainer
            assert trainer.experiment_name == f"{name}_{variant}"
            assert trainer.default_local_dir == f"outputs/{name}_{variant}"
            assert trainer.rollout_data_dir == f"outputs/{name}_{variant}/rollouts"


@pytest.mark.parametrize(("method", "end"), [("grpo", "own"), ("grpo_entity_tags", "entity_tags")])
def test_a_method_without_figures_of_a_paper_names_its_run_too(method, end):
    assert compose("grpo_qwen3_8b", [f"method={method}"]).trainer.experiment_name == f"grpo_qwen3_8b_{end}"


def test_the_variant_goes_with_lora_too():
    lora = compose("grpo_qwen3_8b_lora", ["method=grpo_trl"])
    assert lora.actor_rollout_ref.actor.ppo_epochs == 4


@pytest.mark.parametrize("name", RUNS)
def test_every_key_exists_in_verl(name):
    base = upstream(name)
    unknown = [key for key in written(name) if not key.startswith(OPEN) and not known(base, key)]
    assert unknown == []


def test_a_misspelt_key_would_be_found():
    base = upstream("grpo_tiny")
    assert not known(base, "actor_rollout_ref.actor.clip_ration_low")
    assert known(base, "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype")


@pytest.mark.parametrize("name", RUNS)
def test_it_differs_from_verl_only_where_the_yaml_says_so(name):
    ours, theirs = composed(name), upstream(name)
    raw = flat(OmegaConf.to_container(theirs, resolve=False))
    says = written(name)
    for key, value in flat(OmegaConf.to_container(ours, resolve=False)).items():
        if raw.get(key) != value:
            assert any(key == said or key.startswith(f"{said}.") for said in says), f"{key} = {value}"


@pytest.mark.parametrize("name", RUNS)
def test_the_experiment_is_named_after_its_file(name):
    file, _, method = name.partition(" method=grpo_")
    assert composed(name).trainer.experiment_name == (f"{file}_{method or 'paper'}" if file in VARIED else file)


@pytest.mark.parametrize("name", GRPO)
def test_verl_accepts_it(name):
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    config = composed(name)
    assert config.trainer.n_gpus_per_node == (1 if config.trainer.device == "cpu" else 2 if "qwen2_5" in name else 8)
    assert not need_critic(config)
    validate_config(config, need_reference_policy(config), use_critic=False)


@pytest.mark.parametrize("name", GRPO)
def test_what_is_saved_is_validated_so_that_there_is_a_best_checkpoint(name):
    assert composed(name).trainer.save_freq == composed(name).trainer.test_freq


@pytest.mark.parametrize("name", SFT)
def test_sft_sections_become_verls_dataclasses(name):
    from verl.utils.config import omega_conf_to_dataclass

    config = compose(name)
    for section in (config.engine, config.optim, config.checkpoint):
        omega_conf_to_dataclass(section)
    assert config.data.custom_cls.path == "pkg://sft.dataset"


@pytest.mark.parametrize("name", GRPO)
def test_reward_settings_are_ones_that_the_reward_knows(name):
    reward = composed(name).reward.custom_reward_function
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
    config = composed(name, ["+lora=grpo"]).actor_rollout_ref
    assert (config.model.lora_rank, config.rollout.load_format, config.actor.optim.lr) == (32, "safetensors", 1e-5)


def test_ray_knows_the_settings_given_to_it():
    import ray

    keys = compose("grpo_tiny").ray_kwargs.ray_init.keys()
    assert set(keys) <= set(inspect.signature(ray.init).parameters)


# ------------------------------------------------------------------------------------------------ published figures
def figures(name):
    config = composed(name)
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
    seen = figures(f"grpo_qwen3_{size}")
    assert seen["group"] * seen["prompts"] == 384
    assert (seen["clip"], seen["std"], seen["kl"], seen["epochs"]) == ((0.2, 0.2), False, 0.04, 1)
    assert (seen["new_tokens"], seen["weights"]) == (4096, [10, 1])


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_references_trl_variant(size):
    run = f"grpo_qwen3_{size} method=grpo_trl"
    seen, config = figures(run), composed(run)
    assert seen["group"] * seen["prompts"] == 448
    assert (seen["clip"], seen["iterations"], seen["kl"], seen["lr"]) == ((0.2, 0.28), 4, 0.04, 1e-6)
    assert (seen["temperature"], seen["epochs"], seen["weights"], seen["std"]) == (0.9, 1, [10, 1], True)
    assert (config.data.max_prompt_length, seen["new_tokens"]) == (2048, 4096)
    optim = config.actor_rollout_ref.actor.optim
    assert (optim.lr_scheduler_type, optim.lr_warmup_steps_ratio) == ("cosine", 0.1)
    assert config.actor_rollout_ref.actor.loss_agg_mode == "seq-mean-token-sum-norm"


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_references_verl_variant(size):
    run = f"grpo_qwen3_{size} method=grpo_verl"
    seen, config = figures(run), composed(run)
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


# ------------------------------------------------------------------------------------------- whose choice a value is
PUBLISHED = ["grpo_qwen3_8b", "grpo_qwen3_8b method=grpo_trl", "grpo_qwen3_8b method=grpo_verl"]
PUBLISHED += ["grpo_qwen2_5_1_5b_entity_tags"]
LABELLED = [f"method/{path.name}" for path in sorted((CONFIG_DIR / "method").glob("*.yaml"))]
LABELLED += [f"loss/{path.name}" for path in sorted((CONFIG_DIR / "loss").glob("*.yaml"))]
LABELLED += ["grpo_qwen2_5_1_5b_entity_tags.yaml"]
LABEL = re.compile(r"#\s*(paper|reference|published|ours|verl)\b", re.IGNORECASE)
# What decides an update: none of it is left to a default of verl's that the reader doesn't see.
_ACTOR = "actor_rollout_ref.actor"
DECIDES = [
    "algorithm.norm_adv_by_std_in_grpo",
    *(f"{_ACTOR}.optim.{key}" for key in ("lr", "lr_scheduler_type", "lr_warmup_steps_ratio", "weight_decay")),
    *(f"{_ACTOR}.{key}" for key in ("optim.clip_grad", "clip_ratio_low", "clip_ratio_high", "clip_ratio_c")),
    *(f"{_ACTOR}.{key}" for key in ("ppo_epochs", "kl_loss_coef", "kl_loss_type", "loss_agg_mode", "entropy_coeff")),
    *(f"actor_rollout_ref.rollout.{key}" for key in ("n", "temperature", "top_p", "top_k")),
]


def unlabelled(text):
    """Names of the values in a YAML file whose comment, or that of a section around them, doesn't begin with a label.

    A comment is a value's if it stands on its line or ends on the line before.
    """
    found, above, sections = [], "", []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            above = "" if not line.strip() else above or line.strip()
            continue
        key = re.match(r"( *)([\w]+):(.*)", line)
        if key:
            indent = len(key[1])
            sections = [section for section in sections if section[0] < indent]
            value, _, comment = key[3].partition(" #")
            label = bool(LABEL.match(above) or LABEL.match(f"#{comment}"))
            if value.strip() and not label and not any(section[1] for section in sections):
                found.append(key[2])
            sections.append((indent, label))
        above = ""
    return found


@pytest.mark.parametrize("file", LABELLED)
def test_every_value_of_a_published_variant_says_whose_it_is(file):
    text = (CONFIG_DIR / file).read_text()
    assert unlabelled(re.sub(r"(?m)^defaults:\n( +- .*\n)+", "", text)) == []


def test_a_value_without_a_label_would_be_found():
    lines = ["a: 1 # paper: yes", "b: 2 # Larger is better", "# ours", "c: 3", "d: # verl", "  e: 4", "f:", "  g: 5"]
    assert unlabelled("\n".join([*lines, "# ours", "", "h: 6", "# ours, as", "# one sees", "i: 7"])) == ["b", "g", "h"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_decides_an_update_is_written_and_not_left_to_verls_defaults(name):
    assert set(DECIDES) - written(name) == set()


def test_the_optimizers_are_those_of_the_references_trainers():
    optim = {name: composed(name).actor_rollout_ref.actor.optim for name in PUBLISHED}
    assert [optim[name].weight_decay for name in PUBLISHED] == [0.01, 0.0, 0.01, 0.1]
    assert [optim[name].clip_grad for name in PUBLISHED] == [1.0, 1.0, 1.0, 0.1]
    assert compose("sft_qwen3_8b").optim.weight_decay == 0


def policy_loss(name, ratio, advantage):
    """verl's policy loss of one token under an experiment's settings."""
    import torch
    from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla
    from verl.utils.config import omega_conf_to_dataclass

    config = omega_conf_to_dataclass(
        composed(name, ["+actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1"]).actor_rollout_ref.actor
    )
    one = torch.ones(1, 1)
    return compute_policy_loss_vanilla(0 * one, math.log(ratio) * one, advantage * one, one, "token-mean", config)[0]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.25, 2.9, 10.0, 1e6])
@pytest.mark.parametrize("advantage", [-2.0, 1.0])
def test_the_trl_variant_has_trls_clip_and_no_dual_one(ratio, advantage):
    clipped = min(max(ratio, 1 - 0.2), 1 + 0.28)
    expected = -min(ratio * advantage, clipped * advantage)
    assert policy_loss("grpo_qwen3_8b method=grpo_trl", ratio, advantage).item() == pytest.approx(expected, rel=1e-5)


def test_verls_own_variant_has_the_dual_clip():
    assert policy_loss("grpo_qwen3_8b method=grpo_verl", 10.0, -2.0).item() == pytest.approx(3.0 * 2.0)


def rates(name, rows, epochs=1):
    """The learning rate of each rollout batch, or SFT step, by verl's own scheduler, as a share of `lr`."""
    import torch
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    config = composed(name)
    optim = config.optim if name in SFT else config.actor_rollout_ref.actor.optim
    optim.total_training_steps = steps = rows // config.data.train_batch_size * epochs
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=optim.lr)
    engine = SimpleNamespace(optimizer_config=omega_conf_to_dataclass(optim), rank=1)
    scheduler, seen = FSDPEngine._build_lr_scheduler(engine, optimizer), []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0] / optim.lr)
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("size", ["8b", "1_7b"])
def test_the_trl_variant_learns_from_its_first_batch_as_its_comment_says(size):
    seen = rates(f"grpo_qwen3_{size} method=grpo_trl", 5000)
    text = " ".join((CONFIG_DIR / "method" / "grpo_trl.yaml").read_text().replace("#", " ").split())
    said = re.search(r"5,000 rows make (\d+) batches, (\d+) of them warm-up", text)
    batches, warm_up = map(int, said.groups())
    assert (len(seen), seen[:warm_up]) == (batches, pytest.approx([k / warm_up for k in range(1, warm_up + 1)]))
    assert seen[warm_up] < 1
    assert seen[-1] == pytest.approx(0, abs=1e-9)


def test_a_schedule_from_zero_would_waste_the_first_batch():
    assert rates("grpo_qwen2_5_1_5b_entity_tags", 400)[0] == 0  # as its trainer's own: one update
    assert rates("sft_qwen3_8b", 45_787, epochs=5)[0] == 0


@pytest.mark.parametrize("name", ["grpo_qwen3_8b", "grpo_qwen3_8b method=grpo_verl", "grpo_tiny"])
def test_the_other_variants_have_a_constant_rate(name):
    assert set(rates(name, 5000)) == {1.0}


def test_the_papers_variant_makes_one_update_a_batch_so_that_its_clip_is_inert():
    config = compose("grpo_qwen3_8b")
    actor = config.actor_rollout_ref.actor
    assert (config.data.train_batch_size, actor.ppo_epochs) == (actor.ppo_mini_batch_size, 1)
    text = (CONFIG_DIR / "method" / "grpo_paper.yaml").read_text()
    assert "inert" in text
