"""What a folder's safetensors files hold, from their headers alone: no weight is read.

tensors(Path("recipe/tiny_model/base"))["model.embed_tokens.weight"]     # Tensor(shape=(4096, 256), dtype='F32')
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from recipe.core.entities import DataError


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's shape, its dtype as the format spells it (F32, BF16, ...), and the file that holds it."""

    shape: tuple[int, ...]
    dtype: str
    file: Path | None = field(default=None, compare=False)

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder by name; empty where it has no safetensors. DataError for a file that isn't whole.

    Where there is an index, only the files that it names count.
    """
    from safetensors import SafetensorError, safe_open

    found = {}
    for path in _files(folder):
        try:
            with safe_open(path, "numpy") as file:
                for name in file.keys():  # noqa: SIM118 - not a dictionary
                    part = file.get_slice(name)
                    found[name] = Tensor(tuple(part.get_shape()), part.get_dtype(), path)
        except (OSError, SafetensorError) as error:
            said = " ".join(str(error).split())[:120]
            raise DataError(f"{path}: can't be read as safetensors ({said}); fetch or write the model again") from error
    return found


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        return sorted({folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{index}: is no index of safetensors files ({error}); fetch the model again") from error
