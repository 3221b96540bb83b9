"""A page of a GRPO run's answers: how those to one prompt differ, and how those to a validation prompt change.

    python -m recipe.rollouts outputs/grpo_qwen3_8b

It reads what verl dumped (recipe.models.rollout_dump shows a line) and writes RUN/rollouts.html, one
file that a browser opens without any network. Scores are the dumps' own; the marks in the sentences and the error
classes are recipe.evaluate.verdict's.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe.core.command_line import command_parser, exit_status, positive
from recipe.core.entities import DataError
from recipe.evaluate.verdict import compare
from recipe.models.rollout_dump import Answered, dumps
from recipe.report.charts import DASHES, Line, curves
from recipe.report.curves import Curve, means
from recipe.report.dumps import F1, Scores, choose_groups, choose_prompts, collect, evenly, scan
from recipe.report.marks import answer_card, gold_pieces, gold_relations, missed
from recipe.report.pages import cut, fit, render, slots, write

FILE = "rollouts.html"
FOLDERS = ("rollouts", "validation")
SAME = 1e-6  # scores closer than this are the same: verl keeps them as 32-bit floats


def group_card(answers: Sequence[Answered], limit: int | None = None) -> dict:
    """The answers to one prompt at one step, the best first, equal ones together; `advantage` is score - mean."""
    scores = [answered.score for answered in answers]
    mean = sum(scores) / len(scores)
    alike: dict[tuple[float, str], list[Answered]] = defaultdict(list)
    for answered in sorted(answers, key=lambda answered: -answered.score):
        alike[answered.score, answered.output].append(answered)
    return {
        "step": answers[0].step,
        **_prompt(answers[0], limit),
        "mean": mean,
        "worst": min(scores),
        "best": max(scores),
        "count": len(answers),
        "answers": [
            {**_answer(those[0], limit), "times": len(those), "advantage": those[0].score - mean}
            for those in alike.values()
        ],
    }


def history_card(answers: Sequence[Answered], limit: int | None = None) -> dict:
    """The answers to one validation prompt, by step; one that stays as it was is there once."""
    entries: list[dict] = []
    last = None
    for answered in answers:
        if last and (last.output, last.score) == (answered.output, answered.score):
            entries[-1]["to"] = answered.step
        else:
            entries.append({**_answer(answered, limit), "from": answered.step, "to": answered.step})
        last = answered
    change = answers[-1].score - answers[0].score
    return {**_prompt(answers[0], limit), "change": 0 if abs(change) < SAME else change, "answers": entries}


def _prompt(answered: Answered, limit: int | None) -> dict:
    return {
        "dataset": answered.dataset,
        "gold": gold_pieces(answered.example),
        "gold_relations": gold_relations(answered.example),
        "prompt": cut(answered.input, limit, "the dump"),
    }


def _answer(answered: Answered, limit: int | None) -> dict:
    verdict = compare(answered.example, answered.output, drop_else=False)  # as the reward does
    shown = answer_card(verdict, answered.output, lambda text: cut(text, limit, "the dump"))
    return {**shown, "missed": missed(verdict), "score": answered.score, "f1": answered.f1}


def page(run: Path, prompts: int, seed: int) -> tuple[str, str]:
    """The HTML, and in words what is on it. DataError if the run has no dumps."""
    groups, histories, charts = [], [], []
    files = {name: dumps(run / name) for name in FOLDERS}
    if not run.is_dir() or not any(files.values()):
        raise DataError(
            f"{run}: no {' or '.join(f'{name}/STEP.jsonl' for name in FOLDERS)} in it; give the folder of a GRPO run"
        )
    totals = {}
    for name, paths in files.items():
        by_input = name == "validation"
        scores, f1 = scan(paths, by_input)
        totals[name] = sum(map(len, scores.values()))
        charts.append((scores, f1))
        if by_input:
            histories = collect(paths, choose_prompts(scores, prompts, seed), by_input)
        else:
            groups = collect(paths, choose_groups(scores, prompts, seed), by_input)
    if not groups and not histories:
        raise DataError(f"{run}: its dumps are empty; wait for the first step to end")
    types = Counter(e.type for answers in [*groups, *histories] for a in answers for e in a.example.facts)
    hues = slots(label for label, _ in types.most_common())

    def build(size: int, limit: int | None) -> dict:
        return {
            "hues": hues,
            "groups": [group_card(answers, limit) for answers in evenly(groups, size)],
            "histories": [history_card(answers, limit) for answers in evenly(histories, size)],
        }

    data, size, limit = fit(build, max(len(groups), len(histories)), 1)
    html = render(
        "rollouts.html",
        data,
        run=str(run),
        curves=[(curve, curves(curve.lines)) for curve in step_curves(*charts)],
        dashes=DASHES,
        steps=sorted({group["step"] for group in data["groups"]}),
        validated=list(files["validation"]),
        shown={"rollouts": len(data["groups"]), "validation": len(data["histories"])},
        rollouts=totals["rollouts"],
        all_steps=len(files["rollouts"]),
        prompts=prompts,
        fewer=size < max(len(groups), len(histories)),
        seed=seed,
        limit=limit,
    )
    return html, f"{len(data['groups'])} groups and {len(data['histories'])} validation prompts"


def step_curves(rollouts: tuple[Scores, F1], validation: tuple[Scores, F1]) -> list[Curve]:
    """What the dumps as a whole say of each step."""
    widths = [(step, max(group) - min(group)) for (step, _), group in rollouts[0].items()]
    f1 = means((step, value) for step, values in validation[1].items() for value in values)
    wanted = (
        ("Score", "mean over answers", (("rollouts", _scores(rollouts[0])), ("validation", _scores(validation[0])))),
        ("Spread", "best score of a group minus its worst, mean over groups", (("rollouts", means(widths)),)),
        ("Groups without spread", "share whose answers all score the same: nothing is learnt from them", (
            ("rollouts", means((step, width < SAME) for step, width in widths)),
        )),
        ("Validation F1", "mean over sentences, the reward's own part", (("validation", f1),)),
    )  # fmt: skip
    drawn = (
        Curve(title, meaning, tuple(Line(name, points) for name, points in lines if points))
        for title, meaning, lines in wanted
    )
    return [curve for curve in drawn if curve.lines]


def _scores(scores: Scores) -> tuple[tuple[int, float], ...]:
    return means((step, score) for (step, _), group in scores.items() for score in group)


# --------------------------------------------------------------------------------------------------------- command


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "recipe.rollouts",
        "Write a page of a GRPO run's answers: within groups, and over the steps of validation.",
        "python -m recipe.rollouts outputs/grpo_qwen3_8b_paper",
        "python -m recipe.rollouts outputs/grpo_tiny --prompts 100 --seed 1 --out look.html",
    )
    parser.epilog += "\n\nRUN may still be training."
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of the run, with rollouts/ or validation/ in it")
    add("--out", type=Path, metavar="FILE", help=f"default: RUN/{FILE}")
    add("--prompts", type=positive, default=60, metavar="N", help="groups, and validation prompts; default 60 of each")
    add("--seed", type=int, default=0, metavar="N", help="of the choice of prompts; default 0")
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command. 0; 2 after one line about what is wrong with the input."""
    args = _parser().parse_args(None if argv is None else list(argv))
    out = args.out or args.run / FILE

    def run() -> None:
        if out.is_dir():
            raise DataError(f"{out}: is a folder; --out names a file")
        html, told = page(args.run, args.prompts, args.seed)
        print(f"{out}: {told}, {write(out, html) / 1e6:.1f} MB")

    return exit_status("rollouts", run)
