"""Datasets on the Hugging Face hub: what names one, and its files on this machine.

    hf:OWNER/NAME                      all its files that a layout reads
    hf:OWNER/NAME@REVISION             at a branch, a tag or a commit
    hf:OWNER/NAME/path/file.json       one file of it, or one folder

    fetch("hf:owner/news")             # Fetched(Path(".../snapshots/3f1c..."), "news", "3f1c...")

huggingface_hub does the work, so its environment counts: HF_TOKEN for what is private or gated, HF_HOME for the cache,
HF_HUB_OFFLINE=1 to read the cache alone, HF_ENDPOINT for a mirror. Where the hub can't be reached, the cache is read.
"""

from __future__ import annotations

import functools
import glob
import re
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.conll import SUFFIXES
from recipe.corpora.record_layout import ENDINGS
from recipe.corpora.splits import SPLITS

READ = (*ENDINGS, *SUFFIXES, ".ann")
# What a dataset's files are read with; no data.
_BESIDE = (
    "README.md", "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "label.json",
    "labels.json", "labels.txt",
)  # fmt: skip
_REFERENCE = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@(refs/(?:convert|pr)/[^/@]+|[^/@]+))?(?:/(.+?)/?)?", re.ASCII)
_HOW = "write hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/FILE"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The folder or file on this machine, what its dataset is called where that is one, and the commit."""

    path: Path
    name: str
    commit: str


def is_hub(text: object) -> bool:
    """True for what names a dataset on the hub, not a path."""
    return str(text).startswith("hf:")


@functools.lru_cache  # a run reads one commit
def fetch(text: str) -> Fetched:
    """The dataset's files in the cache, downloaded if they aren't there. DataError, in one line, if they can't be."""
    match = _REFERENCE.fullmatch(text)
    if match is None or any(part in ("", ".", "..") for part in (match[3] or "x").split("/")):
        raise DataError(f"{text}: names no dataset of the hub; {_HOW}")
    repository, revision, inside = match.groups()
    snapshot = _snapshot(text, repository, revision, inside)
    path, name = snapshot / (inside or ""), repository.partition("/")[2]
    if inside and not path.exists():
        raise DataError(f"{text}: the repository has no {inside}, or nothing in it that is read; {_HOW}")
    if path.is_file():
        return Fetched(path, name, snapshot.name)
    if not any(file.suffix in READ for file in path.rglob("*") if file.name not in _BESIDE):
        remedy = f"if a script makes its files, try hf:{repository}@refs/convert/parquet"
        raise DataError(f"{text}: holds no file that is read ({', '.join(READ)}); {remedy}")
    return Fetched(_innermost(path), path.name if inside and path.name != "data" else name, snapshot.name)


def _innermost(path: Path) -> Path:
    """The folder itself, or the one below it that holds all there is: `dataset`, or the only configuration."""
    while True:
        files = [file for file in path.iterdir() if file.suffix in READ and file.name not in _BESIDE]
        folders = [folder for folder in path.iterdir() if folder.is_dir()]
        if files or len(folders) != 1 or any(folders[0].name in names for names in SPLITS.values()):
            return path
        (path,) = folders


def _snapshot(text: str, repository: str, revision: str | None, inside: str | None) -> Path:
    """The folder of the commit, which is called by it, with what is wanted of its files."""
    from huggingface_hub import constants, errors, snapshot_download

    below = glob.escape(inside or "")
    folder = f"{below}/" if below else ""
    wanted = [f"{folder}*{ending}" for ending in READ] + ([below] if below else []) + list(_BESIDE)
    try:
        return Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except errors.RevisionNotFoundError as error:
        what, cause = f"has no revision {revision or 'main'}; the hub lists its branches and tags", error
    except errors.GatedRepoError as error:
        what, cause = "is gated; accept its terms on its page, and set HF_TOKEN to a token of that account", error
    except errors.RepositoryNotFoundError as error:
        what, cause = (
            "is not there, or is private; correct the name, or set HF_TOKEN to one that may read it",
            error,
        )
    except errors.LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            what = "is not in the cache, or not all of it, and HF_HUB_OFFLINE is set; fetch it once without that"
        else:
            what = f"{constants.ENDPOINT} can't be reached, and it isn't in the cache; is the network there?"
        cause = error
    except errors.HFValidationError as error:
        what, cause = f"is no name that the hub allows; {_HOW}", error
    except (OSError, errors.HTTPError) as error:
        reply = getattr(error, "response", None)
        if getattr(reply, "status_code", None) == 401:
            what = "the hub refuses the token; correct HF_TOKEN, or unset it"
        else:
            what = f"can't be fetched ({' '.join(str(error).split())[:200]}); try again, or put its files in a folder"
        cause = error
    raise DataError(f"{text}: {what}") from cause
