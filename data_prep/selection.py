"""Which datasets the arguments select, and how much of each: by name, by list, or by protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.arguments import GRPO_CAP, GRPO_SAMPLES
from recipe.core.entities import DataError
from recipe.corpora import datasets as corpora
from recipe.evaluate.protocols import Protocol, read_protocol


@dataclass(frozen=True, slots=True)
class Selection:
    """The datasets to read, and the protocol's datasets that are missing. An evaluation reads `split`.

    A train split gives `num_samples` rows, or this `share`; a dataset counts as at most `cap` rows.
    """

    found: tuple[corpora.Dataset, ...] = ()
    split: str = "test"
    num_samples: int | None = None
    share: float | None = None
    cap: int | None = None
    protocol: Protocol | None = None
    missing: tuple[str, ...] = ()

    def arguments(self, command: str) -> dict[str, object]:
        """The options as they came out, after defaults and protocol."""
        if command == "eval":
            return {"split": self.split}
        return {"num_samples": self.num_samples, "share": self.share, "max_per_dataset": self.cap}


def select(args: argparse.Namespace) -> Selection:
    """What the arguments select. DataError if no dataset of it is there."""
    if args.command == "eval":
        return _select_protocol(args) if args.protocol else Selection(_by_name(args), args.split or "test")
    amounts = (args.num_samples, args.share, args.max_per_dataset)
    if args.protocol:
        return _select_protocol(args, *amounts)
    datasets = () if args.command == "sft" and args.ner_cot else _by_name(args)
    return Selection(datasets, "test", *_with_defaults(args, *amounts))


def _with_defaults(
    args: argparse.Namespace, samples: int | None, share: float | None, cap: int | None
) -> tuple[int | None, float | None, int | None]:
    if args.command != "grpo":
        return samples, share, cap
    return GRPO_SAMPLES if samples is None else samples, share, GRPO_CAP if cap is None else cap


def _by_name(args: argparse.Namespace) -> tuple[corpora.Dataset, ...]:
    names = args.datasets
    if args.list is not None:
        names = corpora.LISTS[args.list] if args.list in corpora.LISTS else corpora.read_names(Path(args.list))
    found, missing = corpora.find_datasets(args.corpora, names)
    if missing and args.list is None:
        raise DataError(f"{args.corpora}: has no dataset {', '.join(map(repr, missing))}; {_present(args)}")
    if not found:
        raise DataError(f"{args.corpora}: has no dataset of the list {args.list}; {_present(args)}")
    if missing:
        say(f"on the list {args.list} but not in {args.corpora}: {', '.join(missing)}")
    return tuple(found)


def _select_protocol(
    args: argparse.Namespace, samples: int | None = None, share: float | None = None, cap: int | None = None
) -> Selection:
    """The protocol's datasets that have the split, and the amount of it that the protocol says."""
    protocol = read_protocol(args.protocol)
    if args.command == "eval":
        names, split = protocol.datasets, args.split or protocol.split
    elif protocol.train is None:
        raise DataError(f"--protocol {protocol.name}: trains on none of its datasets; name training data with --list")
    else:
        names, split = protocol.train.datasets, "train"
        if protocol.train.share is None:
            samples, share, cap = _with_defaults(args, samples, share, cap)
        elif (samples, share, cap) != (None, None, None):
            raise DataError(f"--protocol {protocol.name}: takes {protocol.train.share} of train; give no other amount")
        else:
            share = protocol.train.share
    datasets, _ = corpora.find_datasets(args.corpora, names)
    found = tuple(dataset for dataset in datasets if dataset.file(split).is_file())
    present = {dataset.name for dataset in found}
    if not found:
        what = f"none of the {len(names)} datasets of {protocol.name} has a {split} split there"
        raise DataError(f"{args.corpora}: {what}; {_present(args)}")
    missing = tuple(name for name in names if name not in present)
    return Selection(found, split, samples, share, cap, protocol, missing)


def _present(args: argparse.Namespace) -> str:
    return "there are: " + ", ".join(dataset.name for dataset in corpora.find_datasets(args.corpora)[0])


def with_split(datasets: Sequence[corpora.Dataset], split: str) -> list[corpora.Dataset]:
    """The datasets without those that lack the split and may lack it. DataError if no dataset is left."""
    lacking = [dataset.name for dataset in datasets if dataset.may_lack_splits and not dataset.file(split).is_file()]
    if lacking and len(lacking) == len(datasets):
        raise DataError(f"{split} split: none of the datasets has one: {', '.join(lacking)}; name others")
    if lacking:
        say(f"no {split} split, so left out: {', '.join(lacking)}")
    return [dataset for dataset in datasets if dataset.name not in lacking]


def say(note: str) -> None:
    """A note for the user, on stderr."""
    print(f"note: {note}", file=sys.stderr)
