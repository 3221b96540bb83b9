"""What the tests of pages look at: a small evaluation with every class of error, and a run's dumps.

Half of what the model wrote is made to break out of a page: `window.ran` is set if any of it runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.evaluate import __main__ as evaluate

ATTACK = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
ODD = "<b>$a_1$ & co</b>"  # a dataset, and a type
TYPES = ("group", ODD, "person", "place")
ANN, PARIS, TIMES = Entity("Ann", "person"), Entity("Paris", "place"), Entity("New York Times", "group")
BANK = Entity("Bank of New York City", "group")


def example(sentence: str, *entities: Entity, dataset: str = "news") -> Example:
    return Example(sentence, TYPES, entities, dataset)


def answer(*entities: Entity, reasoning: str = "Some words.") -> str:
    return render_entities(entities, reasoning)


ROWS = (
    (example("Ann left Paris .", ANN, PARIS), answer(ANN, PARIS, reasoning="Right as it is.")),
    (example("Ann left Paris .", ANN, PARIS), answer(ANN)),  # missed
    (example("Nobody left Rome ."), answer(Entity("Rome", "place"))),  # spurious
    (example("The New York Times wrote .", TIMES), answer(Entity("York Times", "group"))),  # boundary
    (example("Ann left .", ANN), answer(Entity("Ann", "place"))),  # type
    (example("The New York Times wrote .", TIMES), answer(Entity("New York", "place"))),  # boundary and type
    (example("Ann left .", ANN), answer(ANN, Entity("left", f"<i>{'verb' * 20}</i>"))),  # off-schema
    (example("Ann left .", ANN), answer(ANN, Entity(ATTACK, "person"), reasoning="x\u2028\ud800 ")),  # not in the text
    (example("Ann & Bob <left> .", ANN), f"{ATTACK} no JSON"),  # unparsable
    # A name in a name, a name across its end, and a character that is two in UTF-16 before them.
    (
        example("🙂 Bank of New York City Hall opened .", BANK),
        answer(BANK, Entity("New York", "place"), Entity("York City Hall", ODD)),
    ),
    (example(f"{ATTACK} said Ann .", ANN, dataset=ODD), answer(ANN, reasoning=f"It says {ATTACK} first.")),
)


def write_rows(path: Path, examples: Sequence[Example]) -> Path:
    rows = [question_row(one, i, "test", RowRules()) for i, one in enumerate(examples)]
    write_parquet(path, rows, row_schema(sft=False))
    return path


def write_scores(folder: Path, rows: Sequence[tuple[Example, str]] = ROWS) -> Path:
    """A folder as recipe.evaluate leaves it, its data and predictions beside it; the folder of the scores."""
    folder.mkdir(parents=True, exist_ok=True)
    data = write_rows(folder / "eval.parquet", [one for one, _ in rows])
    lines = [json.dumps({"index": index, "output": output}) + "\n" for index, (_, output) in enumerate(rows)]
    (folder / "saved.jsonl").write_text("".join(lines), encoding="utf-8")
    saved = ["--predictions", str(folder / "saved.jsonl"), "--data", str(data), "--out", str(folder / "scores")]
    assert evaluate.main(saved) == 0
    return folder / "scores"


def write_run(folder: Path) -> Path:
    """A GRPO run of two steps: two groups of three answers at each, and validation before and after."""
    paris = (example("Ann left Paris .", ANN, PARIS), (answer(ANN, PARIS), answer(ANN), f"{ATTACK} no JSON"))
    nothing = (example("Nobody came ."), (answer(), answer(), answer()))
    for step in (1, 2):
        lines = [
            line(one, output, step, float(3 * (2 - number) if one is paris[0] else 11), f"p{step}{name}_{number}_0")
            for name, (one, outputs) in (("a", paris), ("b", nothing))
            for number, output in enumerate(outputs)
        ]
        write_lines(folder / "rollouts" / f"{step}.jsonl", lines)
    validated = ((0, f"{ATTACK} no JSON", 0.0), (1, answer(ANN), 7.0), (2, answer(ANN), 7.0))
    for step, output, score in validated:
        extra = {"data_source": ODD, "f1": score / 10}
        write_lines(folder / "validation" / f"{step}.jsonl", [line(paris[0], output, step, score, "v_0_0", **extra)])
    data = {"critic/score/mean": 5.0, "val-aux/news/f1/mean@1": 0.5, f"val-aux/{ODD}/f1/mean@1": 0.25, "actor/lr": 1.0}
    metrics = [{"step": step, "data": data} for step in (0, 1, 2)]
    write_lines(folder / "metrics" / "20260102T030405.jsonl", [json.dumps(record) for record in metrics])
    return folder


def line(one: Example, output: str, step: int, score: float, uid: str, **extra: object) -> str:
    record = {"input": f"user\nFind names.\nSentence: {one.sentence}", "output": output, "gts": to_ground_truth(one)}
    return json.dumps({**record, "score": score, "step": step, "uid": uid, **extra}, ensure_ascii=False)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
