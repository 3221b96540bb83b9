"""A teacher on a Ray cluster: vLLM replicas under Ray Data's batch inference, for corpora that outgrow one machine.

The cluster is the one at RAY_ADDRESS, else one that is started here. Prompts are sent as token ids and answers come
back as token ids, rendered and decoded by the code of recipe.cot.local: at temperature 0 both give the same answers.
Every node must see the model's folder. A replica takes --tensor-parallel-size GPUs; on a cluster without any, a CPU.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.cot.local import Prompts, TeacherModel
from recipe.cot.questions import Feed, Meter, Question, Reply, whole
from recipe.generate.engine import SAMPLER, WHOLE_PROMPTS, vllm_dtype

if TYPE_CHECKING:
    from ray.data import Dataset

BLOCK = 1024  # questions in a block of the dataset
TASK = 32  # questions that a replica takes, and gives back, at a time
_ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", **SAMPLER}
_WITHOUT_GPU = {"TORCH_COMPILE_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "4"}


class OnRay:
    """The teacher. `replicas`: how many copies of the model there are; None for as many as the cluster holds."""

    def __init__(self, model: TeacherModel, meter: Meter, replicas: int | None = None) -> None:
        self.model, self.meter, self.replicas = model, meter, replicas
        self.tokenizer = model.tokenizer

    def answers(self, feed: Feed) -> Iterator[Reply]:
        """Replies in the order in which they arrive, a few at a time.

        All that is in the feed goes to the cluster's object store, which spills to disk; what is put back meanwhile is
        asked when all of that is answered. BudgetSpent at the limit, after the replies to what was sent.
        """
        asked, started = Prompts(self.model, self.meter, feed), False
        try:
            while True:
                blocks = []
                while rows := [self._row(*one) for one in islice(iter(asked.take, None), BLOCK)]:
                    started = started or start()
                    blocks.append(_put(rows))
                yield from asked.refused()
                if not blocks:
                    break
                for row in self._run(blocks):
                    yield self.meter.count(self._reply(row))
        finally:
            if started:
                import ray

                ray.shutdown()
        if asked.stopped:
            raise asked.stopped

    def _row(self, question: Question, ids: list[int]) -> dict[str, object]:
        temperature, seed = self.model.sampling(question)
        sent = json.dumps(asdict(question))
        return {"question": sent, "tokenized_prompt": ids, "temperature": temperature, "seed": seed}

    def _run(self, blocks: list) -> Iterator[Mapping]:
        """What came of each row, block by block."""
        import ray
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        limits, gpus = self.model.decoding, int(ray.cluster_resources().get("GPU", 0))
        kwargs = {
            "dtype": vllm_dtype(self.model.folder, limits.dtype),
            "max_model_len": limits.max_model_len,
            "max_num_seqs": limits.batch,
            "tensor_parallel_size": limits.tensor_parallel_size,
            "disable_log_stats": True,
            **({} if gpus else {"enforce_eager": True, **WHOLE_PROMPTS}),
        }
        config = vLLMEngineProcessorConfig(
            model_source=str(self.model.folder.resolve()),
            engine_kwargs=kwargs,
            batch_size=TASK,
            max_concurrent_batches=math.ceil(limits.batch / TASK) + 1,
            concurrency=self.replicas or max(1, gpus // limits.tensor_parallel_size),
            placement_group_config=None if gpus else {"bundles": [{"CPU": 1}]},
            runtime_env={"env_vars": environment(gpus > 0, os.environ)},
            should_continue_on_error=True,
            log_engine_metrics=False,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        )
        stop_ids = list(self.model.stop_ids)
        fixed = {"max_tokens": limits.max_new_tokens, "stop_token_ids": stop_ids, "detokenize": False}

        def ask(row: dict) -> dict:
            return {"sampling_params": {**fixed, "temperature": row["temperature"], "seed": row["seed"]}}

        def keep(row: dict) -> dict:
            return {name: row[name] for name in ("question", "num_input_tokens", "generated_tokens", "time_taken_llm")}

        few = {"num_cpus": 0.1}  # or a cluster of few cores had none left for a replica
        processor = build_processor(
            config, preprocess=ask, postprocess=keep, preprocess_map_kwargs=few, postprocess_map_kwargs=few
        )
        answered: Dataset = processor(ray.data.from_arrow_refs(blocks))
        try:
            for batch in answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield from batch.to_pylist()
        except ray.exceptions.RayError as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise DataError(f"Ray: {why[-1].strip()[:300]}; the same command goes on from here") from error

    def _reply(self, row: Mapping) -> Reply:
        question = Question(**json.loads(row["question"]))
        if error := row.get("__inference_error__"):
            return Reply(question, reason="engine_error", detail=" ".join(error.split())[:300])
        limits, ids, length = self.model.decoding, row["generated_tokens"], row["num_input_tokens"]
        cut = len(ids) >= min(limits.max_new_tokens, limits.max_model_len - length)
        ended = bool(ids) and ids[-1] in self.model.stop_ids
        return Reply(
            question,
            whole(self.tokenizer.decode(ids, skip_special_tokens=True)),
            finish_reason="length" if cut and not ended else "stop",
            input_tokens=length,
            output_tokens=len(ids),
            seconds=float(row["time_taken_llm"]),
        )


def environment(gpus: bool, given: Mapping[str, str]) -> dict[str, str]:
    """What a replica is started with; nothing that is `given` is overruled."""
    wanted = {**_ENVIRONMENT, **({} if gpus else _WITHOUT_GPU)}
    return {name: given.get(name, value) for name, value in wanted.items()}


def start() -> bool:
    """Join the cluster at RAY_ADDRESS, or start one on this machine; True. DataError if it doesn't answer."""
    import ray

    from recipe.ray_cluster.join import join

    address = os.environ.get("RAY_ADDRESS")
    if address:
        join(address)
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address=address or "local", **quiet, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DataError(f"Ray: {' '.join(str(error).split())[:200]}; see RAY_ADDRESS") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return True


def _put(rows: list[dict]) -> object:
    """A block in the object store."""
    import pyarrow as pa
    import ray

    numbers = {"tokenized_prompt": pa.list_(pa.int64()), "temperature": pa.float64(), "seed": pa.int64()}
    return ray.put(pa.Table.from_pylist(rows, schema=pa.schema({"question": pa.string(), **numbers})))
