"""Which datasets the arguments select, and how much of each: by name, by list, or by protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.arguments import GRPO_CAP, GRPO_DEV, GRPO_SAMPLES
from data_prep.origins import Origins
from data_prep.sources import Amount, say
from recipe.core.entities import DataError
from recipe.corpora import datasets as corpora
from recipe.corpora.splits import closeness
from recipe.evaluate.protocols import Protocol, read_protocol

_SHOWN = 8  # datasets that a message names


@dataclass(frozen=True, slots=True)
class Selection:
    """The datasets to read, how much of their train and dev splits, and the protocol's datasets that are missing.

    An evaluation reads `split`.
    """

    found: tuple[corpora.Dataset, ...] = ()
    split: str = "test"
    amount: Amount = field(default_factory=Amount)
    dev: Amount = field(default_factory=Amount)
    protocol: Protocol | None = None
    missing: tuple[str, ...] = ()

    def arguments(self, command: str) -> dict[str, object]:
        """The options as they came out, after defaults and protocol."""
        if command == "eval":
            return {"split": self.split}
        amount = {"num_samples": self.amount.total, "share": self.amount.share, "max_per_dataset": self.amount.cap}
        return {**amount, "num_dev": self.dev.total}


def select(args: argparse.Namespace, origins: Origins) -> Selection:
    """What the arguments select. DataError if no dataset of it is there."""
    if args.protocol:
        return _select_protocol(args, origins)
    if args.command == "eval":
        return Selection(_by_name(args, origins), args.split or "test")
    found = () if args.corpora is None else _by_name(args, origins)
    amount = _amount(args)
    return Selection(found, amount=amount, dev=_dev(args, amount.cap))


def _amount(args: argparse.Namespace) -> Amount:
    if args.command != "grpo":
        return Amount(args.num_samples, args.share, args.max_per_dataset)
    cap = GRPO_CAP if args.max_per_dataset is None else args.max_per_dataset
    return _or_fewer(args.num_samples, GRPO_SAMPLES, cap)


def _dev(args: argparse.Namespace, cap: int | None) -> Amount:
    return _or_fewer(args.num_dev, GRPO_DEV, cap) if args.command == "grpo" else Amount(args.num_dev, cap=cap)


def _or_fewer(asked: int | None, default: int, cap: int | None) -> Amount:
    return Amount(default, cap=cap, or_fewer=True) if asked is None else Amount(asked, cap=cap)


def _by_name(args: argparse.Namespace, origins: Origins) -> tuple[corpora.Dataset, ...]:
    names = args.datasets
    if args.list is not None:
        names = corpora.LISTS[args.list] if args.list in corpora.LISTS else corpora.read_names(Path(args.list))
    found, missing = corpora.find_datasets(args.corpora, names, origins.name, args.task)
    where = origins.given["corpora"]
    if missing and args.list is None:
        raise DataError(f"{where}: has no dataset {_listed(list(map(repr, missing)))}; {_present(args, origins)}")
    if not found:
        raise DataError(f"{where}: has no dataset of the list {args.list}; {_present(args, origins)}")
    if missing:
        say(f"on the list {args.list} but not in {where}: {', '.join(missing)}")
    return tuple(found)


def _select_protocol(args: argparse.Namespace, origins: Origins) -> Selection:
    """The protocol's datasets that have the split, and the amount of it that the protocol says."""
    protocol, amount = read_protocol(args.protocol), Amount()
    if args.command == "eval":
        names, split = protocol.datasets, args.split or protocol.split
    elif protocol.train is None:
        raise DataError(f"--protocol {protocol.name}: trains on none of its datasets; name training data with --list")
    else:
        names, split = protocol.train.datasets, "train"
        if protocol.train.share is None:
            amount = _amount(args)
        elif (args.num_samples, args.share, args.max_per_dataset) != (None, None, None):
            raise DataError(f"--protocol {protocol.name}: takes {protocol.train.share} of train; give no other amount")
        else:
            amount = Amount(share=protocol.train.share)
    task = args.task or protocol.task
    datasets, _ = corpora.find_datasets(args.corpora, names, origins.name, task)
    found = tuple(dataset for dataset in datasets if dataset.file(split).is_file())
    present = {dataset.name for dataset in found}
    if not found:
        what = f"none of the {len(names)} datasets of {protocol.name} has a {split} split there"
        raise DataError(f"{origins.given['corpora']}: {what}; {_present(args, origins, task)}")
    missing = tuple(name for name in names if name not in present)
    dev = Amount() if args.command == "eval" else _dev(args, amount.cap)
    return Selection(found, split, amount, dev, protocol, missing)


def _present(args: argparse.Namespace, origins: Origins, task: str | None = None) -> str:
    there, _ = corpora.find_datasets(args.corpora, None, origins.name, args.task or task)
    return f"there are: {_listed([dataset.name for dataset in there])}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_used(args: argparse.Namespace, datasets: Sequence[corpora.Dataset], others: Sequence[Path]) -> None:
    """DataError for an option that says how files are read, where no reader of the datasets and others goes by it."""
    used = {name for dataset in datasets for name in dataset.options}
    used.update(name for path in others for name in corpora.options_of(path))
    given = {
        "--columns": ("columns", args.columns.chosen),
        "--type": ("type_name", args.type is not None),
        "--tags": ("tags", args.tags is not None),
        "--join": ("join", args.join is not None),
    }
    if unused := [option for option, (name, is_given) in given.items() if is_given and name not in used]:
        read = _listed(list(dict.fromkeys([*(dataset.name for dataset in datasets), *map(str, others)])))
        remedy = "leave it out" if len(unused) == 1 else "leave them out"
        raise DataError(f"{', '.join(unused)}: no use for the layout of what is read here ({read}); {remedy}")


def with_split(datasets: Sequence[corpora.Dataset], split: str) -> list[corpora.Dataset]:
    """The datasets without those that lack the split and may lack it. DataError if no dataset is left."""
    lacking = [dataset for dataset in datasets if dataset.may_lack_splits and not dataset.file(split).is_file()]
    names = [without(dataset, split) for dataset in lacking]
    if lacking and len(lacking) == len(datasets):
        raise DataError(f"{split} split: none of the datasets has one: {_listed(names)}; name others")
    if lacking:
        say(f"no {split} split, so left out: {', '.join(names)}")
    return [dataset for dataset in datasets if dataset not in lacking]


def without(dataset: corpora.Dataset, split: str) -> str:
    """The name of a dataset that lacks the split, and what is called like the split but isn't read: `test.jsonl.gz`."""
    there = sorted(dataset.folder.iterdir()) if dataset.folder.is_dir() else []
    called = next((path.name[:40] for path in there if closeness(path, split) is not None), None)
    return f"{dataset.name} (its {called} is not in the layout of its other splits)" if called else dataset.name
