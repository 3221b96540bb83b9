"""Where corpora come from: paths on this machine, or datasets of the Hugging Face hub, which are fetched.

origins = locate(args)      # --corpora hf:tner/wnut2017 becomes the Path of its files
origins.given["corpora"]    # "hf:tner/wnut2017"
origins.hub                 # {"hf:tner/wnut2017": "ce2c..."}, the commit
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep import hub
from recipe.core.entities import DataError
from recipe.corpora import ner_cot
from recipe.corpora.dataset import Dataset
from recipe.corpora.datasets import dataset_of_file


@dataclass(frozen=True, slots=True)
class Origins:
    """What the user gave, by option; the commit of each repository; what `--corpora` is called if it is a dataset.

    `name` is None where its folder or file says that. `names`: what a fetched file of rows is called, as its place in
    the cache differs from machine to machine.
    """

    given: Mapping[str, object] = field(default_factory=dict)
    hub: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    names: Mapping[Path, str] = field(default_factory=dict)

    def dataset_of(self, path: Path) -> Dataset:
        """The dataset that is one file of rows with reasoning."""
        return dataset_of_file(path, self.names.get(path))


def locate(args: argparse.Namespace) -> Origins:
    """Fetches what is on the hub; `corpora`, `ner_cot` and `dev_ner_cot` are paths then. DataError if it can't be."""
    given, commits, names, name = {}, {}, {}, None

    def fetch(text: str) -> hub.Fetched:
        fetched = hub.fetch(text)
        repository = "hf:" + "/".join(text.removeprefix("hf:").partition("@")[0].split("/")[:2])
        # One repository at two commits: the whole text tells them apart.
        commits[repository if commits.get(repository, fetched.commit) == fetched.commit else text] = fetched.commit
        return fetched

    def paths(text: str) -> list[Path]:
        if hub.is_hub(text):
            root = fetch(text).path
            found = _rows(text, root)
            names.update({path: text if path == root else f"{text}/{path.relative_to(root)}" for path in found})
            return found
        if not Path(text).is_file():
            what = "is a folder; name its files of rows" if Path(text).is_dir() else "no such file; name one of rows"
            raise DataError(f"{text}: {what} with reasoning (NER-CoT)")
        return [Path(text)]

    if args.corpora is not None and hub.is_hub(args.corpora):
        given["corpora"] = args.corpora
        fetched = fetch(args.corpora)
        args.corpora, name = fetched.path, fetched.name
    elif args.corpora is not None:
        args.corpora = given["corpora"] = Path(args.corpora)
    for option in ("ner_cot", "dev_ner_cot"):
        if texts := getattr(args, option, None):
            given[option] = texts
            files = [path for text in texts for path in paths(text)]
            if len({path.resolve() for path in files}) < len(files):
                raise DataError(f"--{option.replace('_', '-')}: names a file twice; name each once")
            setattr(args, option, files)
    return Origins(given, commits, name, names)


def _rows(text: str, path: Path) -> list[Path]:
    """The files of rows with reasoning in what was fetched."""
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and ner_cot.reads(file)]
    if not files:
        raise DataError(f"{text}: holds no file of rows with reasoning (NER-CoT); name one: {text}/FILE")
    return files
