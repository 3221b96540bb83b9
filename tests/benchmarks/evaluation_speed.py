"""Time to the first answer and answers a second: recipe.evaluate beside a bare script around vLLM's `LLM.generate`.

    python tests/benchmarks/evaluation_speed.py [MODEL] [--data EVAL.parquet] [--limit N] [--rounds 3] [--busy 1]

Both get the same prompts, sampling parameters and engine settings and give text, in turn, each in a process of its own.
Wall seconds count from its command, CPU seconds too: when vLLM is ready, when the first answer is finished, when the
last one is, and when the process has ended. Then once more beside `--busy` processes that do nothing but count, as on
a machine that is used for something else. Prints tables of the rounds' medians and writes evaluation_speed.json beside
this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.command_line import count, end_with, positive
from recipe.core.files import write_json

ROOT = Path(__file__).resolve().parents[2]
TINY, SAMPLE = ROOT / "recipe" / "tiny_model" / "base", ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS"
SIDES = ("recipe.evaluate", "bare vLLM")


# ------------------------------------------------------------------------------------------- within a measured process
def watch_steps(started: float) -> dict[str, list[float]]:
    """Wall and CPU seconds at vLLM's first step, first answer and last answer, noted from now on."""
    from vllm import LLMEngine

    seen: dict[str, list[float]] = {}
    step = LLMEngine.step

    def now() -> list[float]:
        times = os.times()
        return [time.time() - started, times.user + times.system]

    def watched(engine: LLMEngine) -> list:
        if not seen:
            seen["ready"] = now()
        outputs = step(engine)
        if any(output.finished for output in outputs):
            seen["last"] = now()
            seen.setdefault("first", seen["last"])
        return outputs

    LLMEngine.step = watched
    return seen


def measure_recipe(work: Path, started: float, command: list[str]) -> None:
    """recipe.evaluate itself. It leaves the prompts and settings that it gave to vLLM for the other side."""
    from recipe.evaluate.__main__ import main
    from recipe.generate import engine

    run, seen = engine.Engine.run, {}

    def watched(self: engine.Engine, requests: list) -> object:
        prompts = [list(request.prompt) for request in requests]
        params = {"stop_token_ids": self.stop_ids, "max_tokens": self.decoding.max_new_tokens}
        lengths = [self.decoding.max_model_len, self.decoding.max_new_tokens, self.decoding.dtype]
        (work / "asked.json").write_text(json.dumps({"prompts": prompts, "params": params, "lengths": lengths}))
        seen.update(at=watch_steps(started))
        return run(self, requests)

    engine.Engine.run = watched

    def whole() -> int:
        status = main(command)
        answers = len((work / "out" / "predictions.jsonl").read_text().splitlines())
        (work / "times.json").write_text(json.dumps({**seen["at"], "answers": answers}))
        return status

    end_with(whole)


def measure_bare(work: Path, started: float, model: str) -> None:
    """vLLM alone, started and asked as its documentation shows it."""
    from recipe.generate import engine

    asked = json.loads((work / "asked.json").read_text())
    decoding = engine.Decoding(*asked["lengths"])
    on_cpu = engine._prepare(Path(model), decoding)
    from vllm import LLM, SamplingParams

    llm = LLM(**engine.engine_args(Path(model), decoding, on_cpu))
    seen = watch_steps(started)
    prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
    answers = llm.generate(prompts, SamplingParams(temperature=0, **asked["params"]))
    (work / "times.json").write_text(json.dumps({**seen, "answers": len(answers)}))


# ------------------------------------------------------------------------------------------------------ the comparison
def measured(side: str, work: Path, rest: list[str]) -> dict[str, float]:
    """One process of a side: seconds and CPU seconds to the first answer and of generation, answers a second."""
    started, before = time.time(), os.times()
    command = [sys.executable, __file__, "--side", side, str(work), str(started), *rest]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    ended, after = time.time() - started, os.times()
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr[-2000:]}")
    ended_cpu = after.children_user + after.children_system - before.children_user - before.children_system
    times = json.loads((work / "times.json").read_text())
    (ready, ready_cpu), (first, first_cpu), (last, last_cpu) = times["ready"], times["first"], times["last"]
    return {
        "ready_s": ready,
        "ready_cpu_s": ready_cpu,
        "first_answer_s": first,
        "first_answer_cpu_s": first_cpu,
        "generation_s": last - ready,
        "generation_cpu_s": last_cpu - ready_cpu,
        "answers_per_s": times["answers"] / (last - ready),
        "answers_per_cpu_s": times["answers"] / (last_cpu - ready_cpu),
        "ended_s": ended,
        "ended_cpu_s": ended_cpu,
    }


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    counting = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in counting:
            process.kill()
            process.wait()


def sample_rows(folder: Path) -> Path:
    """The evaluation rows of data_prep/sample."""
    script = [sys.executable, "data_prep/to_parquet.py", "eval", "--corpora", str(SAMPLE), "--out", str(folder)]
    subprocess.run(script, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder / "test.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", nargs="?", default=str(TINY), metavar="MODEL", help="model folder; default the tiny base model")
    add("--data", type=Path, metavar="EVAL.parquet", help="evaluation rows; default those of data_prep/sample")
    add("--limit", type=positive, default=50, metavar="N", help="rows of each dataset; default 50")
    add("--max-new-tokens", type=positive, default=64, metavar="N", help="default 64")
    add("--rounds", type=positive, default=3, metavar="N", help="processes of each side, in turn; default 3")
    add("--busy", type=count, default=1, metavar="N", help="processes that count beside it, the second time; default 1")
    args = parser.parse_args()
    figures = {"model": Path(args.model).name, "rounds": args.rounds, "max_new_tokens": args.max_new_tokens}
    with tempfile.TemporaryDirectory() as temporary:
        data = (args.data or sample_rows(Path(temporary) / "data")).resolve()
        for name, beside in {"alone": 0, f"beside {args.busy} busy": args.busy}.items():
            with busy(beside):
                figures[name] = compared(args, data, Path(temporary) / name)
    write_json(Path(__file__).with_suffix(".json"), figures)


def compared(args: argparse.Namespace, data: Path, folder: Path) -> dict[str, object]:
    """The medians of both sides and their ratios; a table of them is printed."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        work = folder / str(number)
        work.mkdir(parents=True)
        evaluate = [args.model, "--data", str(data), "--out", str(work / "out"), "--limit", str(args.limit)]
        found[SIDES[0]].append(measured(SIDES[0], work, [*evaluate, "--max-new-tokens", str(args.max_new_tokens)]))
        found[SIDES[1]].append(measured(SIDES[1], work, [args.model]))
        answers = json.loads((work / "times.json").read_text())["answers"]
    middle = {side: {name: median(r[name] for r in rounds) for name in rounds[0]} for side, rounds in found.items()}
    print(f"\n{folder.name:20}" + "".join(f"{side:>18}" for side in SIDES) + f"{'ratio':>9}")
    ratios = {}
    for name in middle[SIDES[0]]:
        ours, bare = (middle[side][name] for side in SIDES)
        ratios[name] = round(ours / bare, 3)
        print(f"{name:20}{ours:18.2f}{bare:18.2f}{ratios[name]:9.3f}", flush=True)
    rounded = {side: {name: round(value, 2) for name, value in values.items()} for side, values in middle.items()}
    return {"answers": answers, **rounded, "ratios": ratios}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side, work, started, rest = sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]
        if side == SIDES[0]:
            measure_recipe(work, started, rest)
        else:
            measure_bare(work, started, rest[0])
    else:
        main()
