"""Greedy tokens of vLLM with a LoRA adapter and without, and their log-probabilities. Not a test module.

python tests/vllm_adapter.py ADAPTER "a prompt"     # {"prompt": [..], "with": {"ids": [..], "logprobs": [..]}, ...}
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; without it, vLLM wants nine tenths of the memory


def main(adapter: str, prompt: str) -> None:
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    model = LLM(
        config["base_model_name_or_path"], dtype="float32", enforce_eager=True, max_model_len=128, max_num_seqs=2,
        enable_lora=True, max_loras=1, max_lora_rank=config["r"],
    )  # fmt: skip
    greedy, found = SamplingParams(temperature=0, max_tokens=12, logprobs=0, ignore_eos=True), {}
    for name, request in (("with", LoRARequest("ner", 1, adapter)), ("without", None)):
        answer = model.generate([prompt], greedy, lora_request=request, use_tqdm=False)[0]
        ids = list(answer.outputs[0].token_ids)
        logprobs = [step[i].logprob for step, i in zip(answer.outputs[0].logprobs, ids, strict=True)]
        found |= {"prompt": list(answer.prompt_token_ids), name: {"ids": ids, "logprobs": logprobs}}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
