"""A page of an evaluation: tables, charts, and every sentence with what was to be found and what was answered.

    python -m recipe.report scores/grpo --run outputs/grpo_qwen3_8b

It reads scores/grpo/scores.json, the Parquet file and the predictions that it names, and writes one file,
scores/grpo/report.html, which a browser opens without any network. All figures are from scores.json; the sentences
are compared again (recipe.evaluate.verdict). A folder whose answers give other counts of disagreements than its
scores.json is refused.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe.core.command_line import at_least, command_parser, exit_status
from recipe.core.entities import DataError
from recipe.core.metrics import RULE_MEANINGS
from recipe.evaluate.disagreements import KINDS
from recipe.evaluate.left_out import in_words, of_sentences
from recipe.evaluate.saved import scoring_in
from recipe.evaluate.table import percent
from recipe.evaluate.verdict import NAMES, Scoring
from recipe.report.charts import DASHES, Bar, bars, curves, intervals
from recipe.report.curves import Curve, read_curves
from recipe.report.marks import card
from recipe.report.pages import cut, fit, render, slots, write
from recipe.report.scored import ScoredRow, read_figures, read_scored, unit_of

FILE = "report.html"
MAX_TYPES = 30  # of a dataset; an open schema has thousands
MEANINGS = {
    "published": "sets of normalised names and types, as papers count",
    "strict": "exact name and type, mentions counted",
    "span": "the same characters of the sentence, and the type",
    "partial": "any type; an overlap counts one half",
    "type": "the right type and some overlap",
}


def sample(kinds: Sequence[frozenset[str]], size: int, seed: int) -> list[int]:
    """Positions of at most `size` sentences, ascending; `kinds` are the classes of disagreements of each.

    Half of them are shared out among the classes, the rarest first, so that each is among them; the others are drawn
    from all that are left. `size` must be at least the number of classes.
    """
    if len(kinds) <= size:
        return list(range(len(kinds)))
    order = list(range(len(kinds)))
    random.Random(seed).shuffle(order)
    frequency = Counter(kind for those in kinds for kind in those)
    share = max(1, size // (2 * len(KINDS)))
    chosen: set[int] = set()
    for kind in sorted(frequency, key=lambda kind: (frequency[kind], kind)):
        having = [position for position in order if kind in kinds[position]]
        already = sum(position in chosen for position in having)
        chosen.update([position for position in having if position not in chosen][: max(0, share - already)])
    chosen.update([position for position in order if position not in chosen][: size - len(chosen)])
    return sorted(chosen)


def page(
    folder: Path,
    scores: dict,
    scored: Sequence[ScoredRow],
    asked: int,
    seed: int,
    run: Path | None = None,
    training: Sequence[Curve] = (),
) -> tuple[str, int]:
    """The HTML of a report, and how many sentences it shows: `asked` of them, or fewer if they are long."""
    kinds = [frozenset(one.kind for one in row.verdict.disagreements) for row in scored]
    frequency = Counter()
    for dataset in scores["datasets"].values():
        frequency.update({label: figures["gold"] for label, figures in dataset["types"].items()})
    hues = slots(label for label, gold in frequency.most_common() if gold)

    def build(size: int, limit: int | None) -> dict:
        chosen = (scored[position] for position in sample(kinds, size, seed))
        return {"hues": hues, "cards": [_card(row, limit) for row in chosen]}

    scoring = scoring_in(scores)
    data, shown, limit = fit(build, asked, len(scoring.kinds))
    counts = Counter(kind for card in data["cards"] for kind in card["kinds"])
    counts["-"] = sum(not card["kinds"] for card in data["cards"])
    counts["*"] = len(data["cards"]) - counts["-"]
    totals = {kind: sum(dataset["errors"][kind] for dataset in scores["datasets"].values()) for kind in scoring.kinds}
    html = render(
        "report.html",
        data,
        folder=str(folder),
        name=scores["source"]["model"] or Path(scores["source"]["predictions"]).name,
        scores=scores,
        rows=len(scored),
        sentences={name: of_sentences(dataset, ",") for name, dataset in scores["datasets"].items()},
        left_out=list(in_words(scores)),
        of_split=scores.get("macro_of_split"),
        unit=unit_of(scores),
        subject=scoring.subject,
        usual=scoring.usual,
        rules=scoring.rules,
        keyed=scoring.keyed,
        rule_meanings=MEANINGS if scoring is NAMES else RULE_MEANINGS[scoring.subject],
        kinds=scoring.kinds,
        totals=totals,
        types={name: _types(dataset["types"], scoring) for name, dataset in scores["datasets"].items()},
        interval_charts={rule: _intervals(scores, rule) for rule in _charted(scoring)},
        error_chart=bars([Bar(kind, "", n, f"{n:,}") for kind, n in totals.items()], max(totals.values())),
        curves=[(curve, curves(curve.lines)) for curve in training],
        run=str(run),
        dashes=DASHES,
        shown=shown,
        asked=asked,
        seed=seed,
        limit=limit,
        counts=counts,
        dataset_counts=Counter(card["dataset"] for card in data["cards"]),
    )
    return html, shown


def _card(row: ScoredRow, limit: int | None) -> dict:
    shown = card(row.verdict, row.output, lambda text: cut(text, limit, "the predictions file"))
    return {"row": row.index, "dataset": row.dataset, **shown}


def _charted(scoring: Scoring) -> tuple[str, ...]:
    return ("strict", "published", "span") if scoring is NAMES else scoring.rules


def _types(types: dict[str, dict], scoring: Scoring) -> dict:
    """The chart and the rows of a dataset's types, the most frequent in the gold first."""
    rows = sorted(types.items(), key=lambda item: (-item[1]["gold"], item[0]))[:MAX_TYPES]
    drawn = [
        Bar(label, f"{t['gold']:,} gold", t[scoring.usual]["f1"], percent(t[scoring.usual]["f1"]))
        for label, t in rows
        if t["gold"]
    ]
    return {"rows": rows, "left": len(types) - len(rows), "svg": bars(drawn, 1.0) if drawn else ""}


def _intervals(scores: dict, rule: str) -> object:
    rows = [(name, *(d[rule][key] for key in ("f1", "low", "high"))) for name, d in scores["datasets"].items()]
    return intervals([*rows, ("mean of datasets", scores["macro"][rule], *scores["macro_interval"][rule])])


# --------------------------------------------------------------------------------------------------------- command


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.report",
        "Write a page of an evaluation: tables, charts, and the sentences with their errors.",
        "python -m recipe.report scores/grpo",
        "python -m recipe.report scores/grpo --run outputs/grpo_qwen3_8b_paper --out grpo.html",
        "python -m recipe.report scores/grpo --max-sentences 200 --seed 1",
    )
    parser.epilog += "\n\nSCORES is a folder that python -m recipe.evaluate wrote."
    add = parser.add_argument
    add("scores", type=Path, metavar="SCORES", help="folder with scores.json")
    add("--run", type=Path, metavar="RUN", help="folder of the training run, for its learning curves")
    add("--out", type=Path, metavar="FILE", help=f"default: SCORES/{FILE}")
    add("--data", type=Path, metavar="EVAL.parquet", help="the rows that were scored, if they have moved")
    add(
        "--max-sentences",
        type=at_least(len(KINDS)),
        default=2000,
        metavar="N",
        help="of more, a sample with every error class in it; default 2000",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the sample; default 0")
    return parser


def _run(args: argparse.Namespace) -> None:
    out = args.out or args.scores / FILE
    if out.is_dir():
        raise DataError(f"{out}: is a folder; --out names a file")
    scores = read_figures(args.scores)
    training = read_curves(args.run) if args.run else ()
    scored = read_scored(args.scores, scores, args.data)
    asked = min(max(args.max_sentences, len(scoring_in(scores).kinds)), len(scored))
    html, shown = page(args.scores, scores, scored, asked, args.seed, args.run, training)
    print(f"{out}: {shown:,} of {len(scored):,} sentences, {write(out, html) / 1e6:.1f} MB")


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input."""
    args = _parser().parse_args(None if argv is None else list(argv))
    return exit_status("report", lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
