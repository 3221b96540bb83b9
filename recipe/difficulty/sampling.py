"""Several sampled answers to each row, each with a seed of its own and on disk as soon as it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.files import fingerprint, sha256
from recipe.evaluate.completions import encode_rows
from recipe.evaluate.rows import Row
from recipe.generate.bar import bar
from recipe.generate.engine import LOG, Decoding, Engine, Request
from recipe.generate.predictions import package_versions
from recipe.generate.samples import Sample, journal, seed_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Drawing:
    """How many answers a row gets, and how they are drawn."""

    samples: int = 8
    temperature: float = 1.0
    seed: int = 42


def draw(
    rows: Sequence[Row],
    data: Path,
    out: Path,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    decoding: Decoding,
    drawing: Drawing,
) -> None:
    """Make the samples of the rows of the file `data` that OUT/samples.jsonl doesn't hold yet.

    What vLLM prints goes to OUT/log.txt. DataError for a prompt that the model has no room for, and for samples in OUT
    of another model, of other data, or drawn otherwise; their number may differ.
    """
    from recipe.eos import wanted_eos

    stop_ids = wanted_eos(folder, tokenizer)
    settings = {
        "model": fingerprint(folder),
        "data": sha256(data),
        "temperature": drawing.temperature,
        "seed": drawing.seed,
        **{key: value for key, value in asdict(decoding).items() if key not in ("batch", "tensor_parallel_size")},
        "stop_token_ids": stop_ids,
    }
    prompts = encode_rows(rows, data, tokenizer, decoding.max_model_len)
    with journal(out, settings, {"model": str(folder), "data": str(data), **package_versions()}) as (done, save):
        wanted = [(index, sample) for index in prompts for sample in range(drawing.samples)]
        todo = [key for key in wanted if key not in done]
        requests = (
            Request(number, prompts[index], drawing.temperature, seed_of(drawing.seed, index, sample))
            for number, (index, sample) in enumerate(todo)
        )
        with bar(len(wanted), len(wanted) - len(todo), "samples", "answer") as shown:
            if todo:
                with Engine(folder, decoding, stop_ids, tokenizer, out / LOG, seeded=True) as engine:
                    for made in engine.run(requests):
                        save(Sample(*todo[made.index], made.output, made.output_tokens, made.finish_reason))
                        shown.update()
