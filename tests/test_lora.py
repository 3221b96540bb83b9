"""The weights of a LoRA run: folded into the base, and alone in peft's layout."""

from __future__ import annotations

import pytest
import torch
from random_model import make_random

from recipe.core.entities import DataError
from recipe.models import lora
from recipe.models.checkpoints import Checkpoint

IDS = torch.arange(30).view(1, 30)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("model") / "base", vocab_size=600, hidden_size=64, layers=2)


@pytest.fixture(scope="module")
def adapted(base):
    """The base with an adapter of rank 4 and alpha 6 on two of its modules, not zero, as peft builds it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(0)
    return get_peft_model(
        model, LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    )


LORA = lora.Lora(rank=4, alpha=6)


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def test_folded_weights_give_the_logits_of_base_and_adapter(base, adapted):
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain.load_state_dict(lora.fold_lora(adapted.state_dict(), LORA))
    torch.testing.assert_close(logits(plain), logits(adapted))


def test_what_is_left_without_the_adapter_is_the_base(base, adapted):
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    weights = lora.base_weights(adapted.state_dict())
    assert weights.keys() == plain.keys()
    assert all(torch.equal(weights[name], plain[name]) for name in plain)


def test_peft_loads_an_adapter_by_its_folder_alone(base, adapted, tmp_path):
    from peft import AutoPeftModelForCausalLM

    lora.write_adapter(adapted.state_dict(), LORA, str(base), tmp_path)
    again = AutoPeftModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(logits(again), logits(adapted))
    assert {path.name for path in tmp_path.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize("text", [None, "{}", '{"r": 0, "lora_alpha": 8}', '{"r": 4, "lora_alpha": 0}'])
def test_an_adapter_whose_scale_is_not_recorded_is_refused(adapted, tmp_path, text):
    if text:
        (tmp_path / "lora_train_meta.json").write_text(text)
    with pytest.raises(DataError, match=r"lora_train_meta\.json: .*write the run's there"):
        lora.read_lora(Checkpoint(tmp_path, 1, tmp_path, 1), adapted.state_dict())


def test_a_full_fine_tuning_has_no_adapter(tmp_path):
    assert lora.read_lora(Checkpoint(tmp_path, 1, tmp_path, 1), ["model.norm.weight"]) is None
