"""Datasets on the Hugging Face hub: what names one, and its files on this machine.

    hf:OWNER/NAME                      all its files that a layout reads
    hf:OWNER/NAME@REVISION             at a branch, a tag or a commit
    hf:OWNER/NAME/path/file.json       one file of it, or one folder

    fetch("hf:tner/wnut2017")          # Fetched(Path(".../snapshots/ce2c..."), "wnut2017", "ce2c...")

huggingface_hub does the work, so its environment counts: HF_TOKEN for what is private or gated, HF_HOME for the cache,
HF_HUB_OFFLINE=1 to read the cache alone, HF_ENDPOINT for a mirror.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.conll import SUFFIXES
from recipe.corpora.record_layout import ENDINGS

READ = (*ENDINGS, *SUFFIXES, ".ann")
_BESIDE = ("README.md", "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "labels.json", "labels.txt")
_REFERENCE = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@(refs/(?:convert|pr)/[^/@]+|[^/@]+))?(?:/(.+?)/?)?")
_HOW = "write hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/FILE"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A repository's folder on this machine, or one folder or file in it; the dataset's name; the commit."""

    path: Path
    name: str
    commit: str


def is_hub(text: object) -> bool:
    """True for what names a dataset on the hub, not a path."""
    return str(text).startswith("hf:")


def local(text: object) -> tuple[Path, str | None]:
    """The folder or file, and the commit if it is on the hub. DataError as for `fetch`."""
    if not is_hub(text):
        return Path(str(text)), None
    fetched = fetch(str(text))
    return fetched.path, fetched.commit


@functools.lru_cache  # one run reads one commit
def fetch(text: str) -> Fetched:
    """The dataset's files in the cache, downloaded if they aren't there. DataError, in one line, if they can't be."""
    match = _REFERENCE.fullmatch(text)
    if match is None or any(part in ("", ".", "..") for part in (match[3] or "x").split("/")):
        raise DataError(f"{text}: names no dataset of the hub; {_HOW}")
    repository, revision, inside = match.groups()
    snapshot = _snapshot(text, repository, revision, inside)
    path = snapshot / inside if inside else snapshot
    name = repository.partition("/")[2]
    if not path.exists():
        raise DataError(f"{text}: {repository} has no {inside} that is read; {_HOW}")
    if path.is_dir():
        if not any(file.suffix in READ for file in path.rglob("*") if file.name not in _BESIDE):
            there = ", ".join(sorted(file.name for file in path.iterdir())[:3]) or "nothing"
            raise DataError(f"{text}: holds no file that is read ({', '.join(READ)}), but {there}")
        if inside and path.name != "data":
            name = path.name
    return Fetched(path, name, snapshot.name)


def _snapshot(text: str, repository: str, revision: str | None, inside: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    below = f"{inside}/" if inside else ""
    wanted = [f"{below}*{ending}" for ending in READ] + ([inside] if inside else []) + list(_BESIDE)
    try:
        folder = snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted)
    except (OSError, ValueError, HTTPError) as error:
        raise DataError(f"{text}: cannot be fetched ({type(error).__name__})") from error
    return Path(folder)
