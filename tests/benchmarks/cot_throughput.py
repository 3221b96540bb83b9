"""Time and memory of annotation against a scripted endpoint that takes 100 ms for an answer, in a process of its own.

    python tests/benchmarks/cot_throughput.py [--rows 2000] [--concurrency 64] [--memory-rows 10000 100000]

Ideal is rows / concurrency x latency. `client_ms` is the processor time of the annotating process for a row. Memory is
the peak of that process at two sizes of the corpus, without latency. Prints a table and writes cot_throughput.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.files import write_json

ROOT = Path(__file__).resolve().parents[2]

_ANNOTATE = """
import json, resource, sys, time
from recipe.cot.__main__ import main
status = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"status": status, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss // 1024}))
"""


def annotate(rows: int, latency: float, concurrency: int) -> dict[str, float]:
    """What a run takes: seconds between the first and the last answer, processor seconds, peak memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (json.dumps({"text": f"Ann {i} met Bob in Rome .", "types": ["person"]}) + "\n" for i in range(rows))
        (folder / "rows.jsonl").write_text("".join(lines))
        server = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "cot_server.py", "--latency", str(latency)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            options = {
                "--input": folder / "rows.jsonl",
                "--work": folder / "cot",
                "--teacher": "endpoint",
                "--model": "teacher",
                "--base-url": server.stdout.readline().strip(),
                "--concurrency": concurrency,
            }
            command = [str(part) for pair in options.items() for part in pair]
            before = time.time()
            done = subprocess.run(
                [sys.executable, "-c", _ANNOTATE, "annotate", *command], cwd=ROOT, capture_output=True, text=True
            )
            after = time.time()
        finally:
            server.terminate()
            server.wait()
        took = json.loads(done.stdout.splitlines()[-1])
        stored = (folder / "cot" / "annotate.jsonl").read_text().splitlines()
        if took["status"] or len({json.loads(line)["id"] for line in stored}) != rows:
            raise SystemExit(f"annotate ended with {took['status']} and {len(stored)} of {rows} rows: {done.stderr}")
        begun = (folder / "cot" / "annotate.manifest.json").stat().st_mtime  # written just before the first question
        ended = (folder / "cot" / "annotate.jsonl").stat().st_mtime
        return {"seconds": ended - begun, "whole_seconds": after - before, **took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--memory-rows", type=int, nargs=2, default=(10_000, 100_000))
    args = parser.parse_args()
    run = annotate(args.rows, args.latency, args.concurrency)
    ideal = args.rows / args.concurrency * args.latency
    result = {
        "rows": args.rows,
        "latency_ms": 1000 * args.latency,
        "concurrency": args.concurrency,
        "ideal_seconds": round(ideal, 2),
        "seconds": round(run["seconds"], 2),
        "ratio": round(run["seconds"] / ideal, 2),
        "with_start_up_seconds": round(run["whole_seconds"], 2),
        "client_ms": round(1000 * run["cpu"] / args.rows, 2),
    }
    for rows in args.memory_rows:
        result[f"peak_mb_{rows}"] = annotate(rows, 0.0, args.concurrency)["peak_mb"]
    for name, value in result.items():
        print(f"{name:24} {value:>10}")
    write_json(Path(__file__).with_suffix(".json"), result)


if __name__ == "__main__":
    main()
