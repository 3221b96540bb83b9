"""Scores of several models side by side, what the differences are made of, and what a GRPO run did to its reward.

    python -m recipe.compare outputs/quickstart/scores/sft outputs/quickstart/scores/grpo --run outputs/quickstart/grpo

Each folder is one of recipe.evaluate. All must be of the same sentences with the same gold: scored with one limit, and
on one file or on files that agree sentence by sentence (the same ones asked in another answer format). Every folder is
compared with the first, and each difference is split by which answers could be read (recipe/evaluate/difference.py):

    grpo - sft: +7.2 points of macro F1, p = 0.0001 (paired randomisation over sentences)

                                    |         sft          |         grpo         |
    by what could be read sentences |      P      R     F1 |      P      R     F1 | points
    read in both              2,854 |  100.0   50.0   66.6 |  100.0   45.5   62.6 |   -3.2
    repaired                  1,017 |      -    0.0    0.0 |  100.0   43.2   60.4 |  +11.6
    broken                      104 |  100.0   49.0   65.8 |      -    0.0    0.0 |   -1.2
    unread in both               26 |      -    0.0    0.0 |      -    0.0    0.0 |   +0.0
    all                       4,001 |  100.0   36.4   53.4 |  100.0   43.6   60.7 |   +7.2

That is a model which answers in the right format more often, and finds less where it did so before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.answers import FORMATS
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.core.files import sha256
from recipe.evaluate.saved import FILE, check_settings, data_of, read_scores, same_file, scoring_in
from recipe.evaluate.scores import PARTS, SENTENCES
from recipe.evaluate.verdict import EDITION, scoring_of
from recipe.models.run_log import read_metrics

if TYPE_CHECKING:
    import numpy as np

REWARD, WINDOW = "critic/score/mean", 10


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFolder:
    """A folder of recipe.evaluate: its scores.json and each sentence's counts under one rule, in the rows' order.

    `digests` tell sentences and gold, `unread` whether an answer could not be read; None in what was scored before
    these were kept.
    """

    folder: Path
    scores: dict
    indices: list[int]
    datasets: list[str]
    counts: np.ndarray  # (sentences, 3)
    digests: list[str] | None
    unread: np.ndarray | None  # (sentences,)

    @property
    def by_dataset(self) -> list[np.ndarray]:
        """Counts of each dataset's sentences: (sentences, 1, 3)."""
        import numpy as np

        names = np.array(self.datasets, dtype=object)
        return [self.counts[names == name][:, None, :] for name in dict.fromkeys(self.datasets)]


def read_scored(folder: Path, rule: str) -> ScoredFolder:
    """What a folder holds. DataError without sentences, or with others than its scores are of."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    scores, path = read_scores(folder), Path(folder) / SENTENCES
    columns = [f"{rule}_{part}" for part in PARTS]
    try:
        table = parquet.read_table(path).to_pandas().sort_values("index", kind="stable")
        counts = table[columns].to_numpy(np.float64)
        indices, datasets = table["index"].tolist(), table["dataset"].tolist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path}: no sentences in it; write them with python -m recipe.evaluate") from error
    told = scores.get("source", {}).get("sentences_sha256")
    if told is not None and sha256(path) != told:
        raise DataError(f"{path}: not the sentences that {folder / FILE} is of; score again: {_again(scores, folder)}")
    digests = table["digest"].tolist() if "digest" in table else None
    unread = table["unparsable"].to_numpy() > 0 if "unparsable" in table else None
    return ScoredFolder(Path(folder), scores, indices, datasets, counts, digests, unread)


def _again(scores: dict, folder: Path) -> str:
    """The command that scores a folder's predictions again."""
    source = scores.get("source", {})
    command = "python -m recipe.evaluate" + (f" {source['model']}" if source.get("model") else "")
    command += f" --predictions {source.get('predictions')} --data {source.get('data')}"
    command += f" --protocol {source['protocol']}" if source.get("protocol") else ""
    command += f" --limit {source['limit']}" if source.get("limit") else ""
    command += " --keep-else" if source.get("drop_else") is False else ""
    return f"{command} --out {folder}"


# ---------------------------------------------------------------------------------------------------- same sentences


def check_same(first: ScoredFolder, other: ScoredFolder) -> str | None:
    """DataError unless both were scored on the same sentences; a note where these are from different files."""
    check_settings(first.scores, other.scores, first.folder, other.folder)
    one_file = same_file(first.scores, other.scores)
    if first.digests and other.digests:
        same = list(zip(first.datasets, first.digests, strict=True)) == list(
            zip(other.datasets, other.digests, strict=True)
        )
    else:
        keys = ((s.indices, s.datasets, s.counts[:, -1].tolist()) for s in (first, other))
        same = one_file and next(keys) == next(keys)
    if not same:
        raise DataError(
            f"{other.folder}: scored on other rows than {first.folder}, {data_of(other.scores)} and not "
            f"{data_of(first.scores)}; evaluate both on one file"
        )
    if one_file:
        return None
    return (
        f"{other.folder} was scored on {data_of(other.scores)}: the same sentences and gold as {data_of(first.scores)}"
    )


# -------------------------------------------------------------------------------------------------------------- table


def score_table(folders: Sequence[Path], rule: str | None = None) -> str:
    """F1 in percent: a row a dataset, a column a folder; pooled (micro) and averaged below.

    Then, for every folder but the first, the difference of the macro averages with its p-value, and its parts. `rule`:
    None for the usual one of the first folder's rows. DataError if the folders were scored on different sentences.
    """
    scoring = scoring_in(read_scores(folders[0]))
    rule = rule or scoring.usual
    if rule not in scoring.rules:
        raise DataError(f"{folders[0]}: no figures by the rule {rule}; there are {', '.join(scoring.rules)}")
    for folder in folders[1:]:
        if (other := scoring_in(read_scores(folder))) != scoring:
            own, others = (", ".join(each.rules) for each in (scoring, other))
            raise DataError(
                f"{folder}: scored by other rules ({others}) than {folders[0]} ({own}); compare like with like"
            )
    scored = [read_scored(folder, rule) for folder in folders]
    notes = [check_same(scored[0], other) for other in scored[1:]] + _of_other_rules(scored)
    scores, names = [each.scores for each in scored], _names(folders)
    rows = {name: [other["datasets"][name][rule]["f1"] for other in scores] for name in scores[0]["datasets"]}
    rows["all, pooled"] = [other["micro"][rule]["f1"] for other in scores]
    rows["macro average"] = [other["macro"][rule] for other in scores]
    width = max(map(len, rows))
    sizes = [max(10, len(name)) for name in names]
    head = f"{'F1 %, ' + rule:{width}} " + " ".join(f"{n:>{size}}" for n, size in zip(names, sizes, strict=True))
    lines = [head]
    for name, values in rows.items():
        cells = (f"{100 * value:{size}.1f}" for value, size in zip(values, sizes, strict=True))
        lines.append(f"{name:{width}} " + " ".join(cells))
    lines += [f"note: {note}" for note in notes if note]
    for other, name in zip(scored[1:], names[1:], strict=True):
        lines += ["", _paired(scored[0], other, names[0], name), "", _split(scored[0], other, names[0], name)]
    return "\n".join(lines)


def _of_other_rules(scored: Sequence[ScoredFolder]) -> list[str]:
    """What to do about folders that an earlier version of the rules scored, unless all are of that one."""
    editions = [each.scores.get("source", {}).get("rules") for each in scored]
    if all(edition == editions[0] for edition in editions):
        return []
    return [
        f"{each.folder}: scored by other rules than these, so it may differ for that alone; score again: "
        f"{_again(each.scores, each.folder)}"
        for each, edition in zip(scored, editions, strict=True)
        if edition != EDITION
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' last names, or their paths where two of them are called alike."""
    names = [Path(folder).name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _paired(first: ScoredFolder, second: ScoredFolder, name: str, other: str) -> str:
    from recipe.evaluate.intervals import paired_p_value

    difference, p = paired_p_value(first.by_dataset, second.by_dataset)
    return (
        f"{other} - {name}: {100 * difference[0] + 0.0:+.1f} points of macro F1, p = {p[0]:.4f} "
        "(paired randomisation over sentences)"
    )


def _split(first: ScoredFolder, second: ScoredFolder, name: str, other: str) -> str:
    from recipe.evaluate.difference import part_of, split_difference, table

    older = next((each for each in (first, second) if each.unread is None), None)
    if older is not None:
        what = "which answers could be read is not kept there"
        return f"{older.folder / SENTENCES}: {what}; score again: {_again(older.scores, older.folder)}"
    parts = split_difference(first.datasets, first.counts, second.counts, part_of(first.unread, second.unread))
    return table(parts, name, other)


def reward_line(run: Path) -> str:
    """Mean reward over the first and over the last steps of a GRPO run. DataError for a run without any."""
    rewards = [figures[REWARD] for figures in read_metrics(run).values() if REWARD in figures]
    if not rewards:
        raise DataError(f"{run}: no {REWARD} in its metrics; give the folder of a GRPO run")
    size = min(WINDOW, (len(rewards) + 1) // 2)
    first, last = sum(rewards[:size]) / size, sum(rewards[-size:]) / size
    return f"reward, mean of the first and the last {size} of {len(rewards)} steps: {first:.3f} -> {last:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.compare",
        (
            "Scores of several models side by side, all of the same sentences. Each difference to the first is split\n"
            "by which answers could be read: in both, repaired, broken, in neither. Folders of other sentences, of\n"
            "another --limit or with residual types kept in one alone are refused."
        ),
        "python -m recipe.compare scores/sft scores/grpo --run outputs/grpo_tiny",
    )
    parser.add_argument(
        "scores",
        nargs="+",
        type=Path,
        help="folders that recipe.evaluate wrote; the first is what others are compared with",
    )
    parser.add_argument("--run", type=Path, help="a GRPO run, for its reward")
    rules = tuple(dict.fromkeys(rule for name in FORMATS for rule in scoring_of(name).rules))
    usual = "default: strict, or boundary for relations without entity types"
    parser.add_argument("--rule", choices=rules, help=usual)
    args = parser.parse_args(argv)

    def run() -> None:
        print(score_table(args.scores, args.rule))
        if args.run:
            print(f"\n{reward_line(args.run)}")

    return exit_status("compare", run)


if __name__ == "__main__":
    sys.exit(main())
