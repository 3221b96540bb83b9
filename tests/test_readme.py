"""The READMEs against the repository: commands, options, paths, experiments, and the figures of tests/benchmarks."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

from recipe import answers
from recipe.train.config import compose

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = "tests/benchmarks/"
FOLDERS = ("data_prep", "hydra_configs", "launch", "recipe", "reward_fns", "sft", "tests")
# The tiny model's card is a model's, with a path of its own example in it.
READMES = [
    ROOT / "README.md",
    *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md") if path.parent.name != "base"),
]
CONFIGS = ROOT / "hydra_configs"
GROUPS = {"model", "hardware", "method", "lora", "loss", "protocol"}
# What a script passes its arguments to; None: it reads them itself, and its text has them. Others: recipe.train.
SCRIPTS = {"ray_cluster.sh": "recipe.ray_cluster", "setup.sh": None, "test.sh": None}
PATH = re.compile(rf"(?<![\w./:-])(?:\.\./)*(?:{'|'.join(FOLDERS)})/[\w./{{}},*-]*")
COMMAND = re.compile(
    r"python -m (?P<module>recipe(?:\.\w+)+)(?P<rest>.*)"
    r"|(?:python )?data_prep/(?P<prepare>to_parquet\.py)(?P<arguments>.*)"
    r"|launch/(?P<script>\w+\.(?:sh|sbatch))(?P<after>.*)"
)

each = pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))


# ------------------------------------------------------------------------------------------------------------ reading


@functools.cache
def blocks(readme: Path) -> list[str]:
    """The indented and the fenced blocks, each with continued lines joined and its own shell variables filled in."""
    found, fenced = [], False
    lines: list[str] = []
    for line in [*readme.read_text(encoding="utf-8").splitlines(), "```end"]:
        if line.startswith("```"):
            fenced = not fenced
        inside = (fenced and not line.startswith("```")) or line.startswith("    ")
        if inside:
            lines.append(line)
        elif lines:
            found.append("\n".join(lines))
            lines = []
    return [_filled(re.sub(r"\\\n\s*", " ", block)) for block in found]


def _filled(block: str) -> str:
    for name, value in re.findall(r'^\s*(\w+)="([^"]*)"', block, re.MULTILINE):
        block = block.replace(f"${name}", value)
    return block


@functools.cache
def spans(readme: Path) -> list[str]:
    """The code spans outside of blocks."""
    text = re.sub(r"^```.*?^```", "", readme.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return re.findall(r"`([^`\n]+)`", text)


def code(readme: Path) -> list[str]:
    """Every line of a block, without its remark, and every span."""
    lines = [re.split(r"\s#\s", line)[0] for block in blocks(readme) for line in block.splitlines()]
    return lines + spans(readme)


def commands(readme: Path) -> list[tuple[str, list[str]]]:
    """(what is called: a module, to_parquet.py or a script; its arguments) of each of our commands that is shown."""
    found = []
    for line in code(readme):
        for part in re.split(r"[|;]\s|\s&&\s", line):
            if match := COMMAND.search(part):
                name = match["module"] or match["prepare"] or match["script"]
                found.append((name, (match["rest"] or match["arguments"] or match["after"] or "").split()))
    return found


@functools.cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)} --help: {done.stderr}"
    return done.stdout


def help_for(name: str, arguments: list[str]) -> str:
    """What a command says of itself; for one with steps, what the step says."""
    if name.endswith((".sh", ".sbatch")):
        called = SCRIPTS.get(name, "recipe.train")
        return help_of("-m", called) if called else (ROOT / "launch" / name).read_text(encoding="utf-8")
    command = ("data_prep/to_parquet.py",) if name == "to_parquet.py" else ("-m", name)
    step = [argument for argument in arguments[:1] if re.fullmatch(r"[a-z]+", argument)]
    return help_of(*command, *(step if name in ("to_parquet.py", "recipe.cot") else []))


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


# ------------------------------------------------------------------------------------------------------------- layout


def test_the_first_page_is_short_and_has_its_map_early():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 110
    assert lines.index("## Map") < 50
    assert max(map(len, lines)) <= 160


def test_the_map_names_what_is_there():
    start = next(block for block in blocks(ROOT / "README.md") if block.lstrip().startswith("recipe/"))
    above = ROOT
    for line in start.splitlines():
        names = re.findall(r"(?:^\s+|[;,.] )([\w]+/|\w+\.py)(?=[\s:;,]|$)", line)
        assert names, line
        if line[:5].strip():  # four spaces and a name: a folder of the repository
            above = ROOT / names[0]
            assert above.is_dir(), names[0]
            names = names[1:]
        for name in names:
            assert (above / name).exists(), f"{above.name}/{name}"


def test_every_folder_readme_is_linked_from_the_first_page():
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([\w./-]+)\)", READMES[0].read_text("utf-8"))}
    assert {path for path in READMES[1:] if path.parent.name != "sample"} <= linked


# -------------------------------------------------------------------------------------------------------------- paths


@each
def test_every_path_is_there(readme):
    missing = set()
    for text in code(readme):
        for path in PATH.findall(text):
            for each_path in braces(path.rstrip(".,")):
                if not any(ROOT.glob(each_path.rstrip("/"))):
                    missing.add(each_path)
    assert not missing


def braces(path: str) -> list[str]:
    """`a/{b,c}` as `a/b` and `a/c`."""
    if not (match := re.search(r"\{([^{}]*)\}", path)):
        return [path]
    before, after = path[: match.start()], path[match.end() :]
    return [filled for word in match[1].split(",") for filled in braces(before + word + after)]


@each
def test_every_link_leads_somewhere(readme):
    for target in re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            file, _, heading = target.partition("#")
            linked = readme.parent / file if file else readme
            assert linked.is_file(), target
            assert not heading or heading in headings(linked), target


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


# ------------------------------------------------------------------------------------------------------------- counts


def test_every_word_under_which_records_are_counted_is_explained():
    words = set()
    for path in [*(ROOT / "recipe" / "corpora").glob("*.py"), *(ROOT / "data_prep").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        words |= set(re.findall(r'(?:Wrong\(|Fault\([^,"]+,|note\(|noted\[)\s*"(\w+)"', text))
    assert len(words) > 20
    assert words <= set(spans(ROOT / "data_prep" / "README.md"))


# ----------------------------------------------------------------------------------------------------------- commands


@each
def test_every_command_is_there(readme):
    for text in code(readme):
        for module in re.findall(r"python -m (recipe(?:\.\w+)+)", text):
            if module != "recipe.NAME":
                spec = importlib.util.find_spec(module)
                assert spec, module
                assert not spec.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__"), module
        for script in re.findall(r"launch/(\w+\.(?:sh|sbatch))", text):
            assert (ROOT / "launch" / script).is_file(), script


@each
def test_every_option_is_one_of_its_command(readme):
    for name, arguments in commands(readme):
        if name != "recipe.NAME" and (shown := options(" ".join(arguments))):
            assert shown <= options(help_for(name, arguments)), f"{name} {' '.join(arguments)}"


@each
def test_every_option_that_a_sentence_names_is_one_of_some_command(readme):
    """Such a span names no command; it may be an option of any that a page shows."""
    known = set()
    for name, arguments in (command for page in READMES for command in commands(page)):
        if name != "recipe.NAME":
            known |= options(help_for(name, arguments))
    for span in spans(readme):
        if span.startswith("--"):
            assert options(span) <= known, span


@each
def test_every_experiment_is_there(readme):
    experiments = {path.stem for path in CONFIGS.glob("*.yaml")}
    configured = experiments | {path.stem for path in CONFIGS.glob("*/*.yaml")}
    takes = {"recipe.train", "recipe.plan", "recipe.preflight", "recipe.adversarial", "train.sh", "submit.sh"}
    for name, arguments in commands(readme):
        places = [word for word in arguments if re.fullmatch(r"(?:sft|grpo)_\w+", word)]
        if name in takes | {"slurm_grpo.sbatch"}:
            assert set(places) <= experiments, f"{name} {' '.join(arguments)}"
    for span in spans(readme):
        if re.fullmatch(r"(?:sft|grpo)_[a-z0-9_]+", span):
            assert span in configured, span


@each
def test_every_choice_of_a_group_is_there(readme):
    for text in code(readme):
        for group, choice in re.findall(r"(?<![\w.])\+?(\w+)(?:@[\w.]+)?=([a-z]\w*)", text):
            if group in GROUPS:
                assert (CONFIGS / group / f"{choice}.yaml").is_file(), f"{group}={choice}"
        for variant in re.findall(r"VARIANT=(\w+)", text):
            assert (CONFIGS / "method" / f"grpo_{variant}.yaml").is_file(), variant


# ---------------------------------------------------------------------------------------------------------- Python


def python(readme: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@each
def test_every_example_imports_what_there_is(readme):
    for text in python(readme):
        for module, names in re.findall(r"^from (\S+) import (.+)$", text, re.MULTILINE):
            loaded = importlib.import_module(module)
            for name in names.split(", "):
                assert hasattr(loaded, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}: {name}"


def test_the_reward_that_is_shown_pays_for_precision():
    shown = next(text for text in python(ROOT / "reward_fns" / "README.md") if "def compute_score" in text)
    names: dict = {}
    exec(shown, names)
    truth = json.dumps(
        {
            "sentence": "Ann met Bob in Rome .",
            "types": ["person"],
            "entities": [{"name": "Ann", "type": "person"}, {"name": "Bob", "type": "person"}],
        }
    )

    def score(*found):
        return names["compute_score"]("x", json.dumps({"entities": {"person": found}}), truth)["score"]

    unreadable = names["compute_score"]("x", "I don't know", truth)["score"]
    assert score("Ann", "Bob") == 1 > score("Ann") > score("Ann", "Bob", "Rome", "met") > unreadable == 0


# ------------------------------------------------------------------------------------------------------------ figures


@functools.cache
def paragraphs() -> list[str]:
    """All READMEs by blank lines, a paragraph's line breaks being spaces; a table keeps its lines."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in READMES)
    return [part if part.startswith("|") else " ".join(part.split()) for part in re.split(r"\n\n+", text)]


def beside(name: str) -> str:
    """The paragraph that names a benchmark's file."""
    found = [text for text in paragraphs() if f"{BENCHMARKS}{name}.json" in text]
    assert len(found) == 1, f"{name}: {len(found)} paragraphs name it"
    return found[0]


def measured(name: str) -> dict:
    return json.loads((ROOT / BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))


def test_each_benchmark_that_is_named_has_a_test_here():
    named = {name for text in paragraphs() for name in re.findall(BENCHMARKS + r"(\w+)\.json", text)}
    tested = {name.removeprefix("test_figures_of_") for name in globals() if name.startswith("test_figures_of_")}
    assert named == tested


def test_figures_of_constrained_decoding():
    told, run = beside("constrained_decoding"), measured("constrained_decoding")
    free, held = run["free"], run["constrained"]
    assert f"Of {free['sentences']} sentences" in told
    assert f"leaves {free['unparsable']:.0%}".replace("%", " %") + " unparsable without it" in told
    assert f"and {held['unparsable']:.0%}".replace("%", " %") + " with it" in told


def test_figures_of_cot_throughput():
    told, run = beside("cot_throughput"), measured("cot_throughput")
    assert f"{run['rows']:,} rows at a latency of {run['latency_ms']:.0f} ms and {run['concurrency']} at a time" in told
    assert f"take {run['ratio']:.2f} times the ideal {run['ideal_seconds']:.1f} s" in told
    assert run["ratio"] == round(run["seconds"] / run["ideal_seconds"], 2)


def test_figures_of_cpu_bf16():
    told, run = beside("cpu_bf16"), measured("cpu_bf16")
    assert f"on one with {' and '.join(f'`{flag}`' for flag in run['flags'])}" in told
    mkl, bf16 = (
        [model[precision]["old"] for model in run["models"].values()]
        for precision in ("fp32, MKL's products", "mixed_precision bf16")
    )
    tiny, small = (1 / old["fp32"]["gain"] for old in mkl)
    assert f"{tiny:.2f} times as fast as MKL's with the tiny model and {small:.2f} times with SmolLM2-135M" in told
    assert {old["fp32"]["cosine"] for old in mkl} == {1.0}, "the same gradient"
    assert "another {:.2f} and {:.2f} times as fast".format(*(old["fp32"]["gain"] for old in bf16)) in told
    assert "cosine to fp32's is {:.4f} and {:.4f}".format(*(old["fp32"]["cosine"] for old in bf16)) in told
    assert "it is {:.4f} and {:.4f}".format(*(old["own"]["cosine"] for old in bf16)) in told
    assert "at {:.2f} and {:.2f} times the".format(*(old["own"]["gain"] for old in bf16)) in told


def test_figures_of_grpo_small():
    told, run = beside("grpo_small"), measured("grpo_small")
    table = next(text for text in paragraphs() if text.startswith("| setting | F1 |"))
    before = next(text for text in paragraphs() if "Its choices were measured" in text)
    assert f"{run['steps']} steps of 96 answers each" in before
    assert f"on {run['sentences']} sentences" in before
    shown = [
        [f"{row[key]:.1f}" for key in ("f1", "precision", "recall")]
        for row in (run["start"], *run["settings"].values())
    ]
    for row, cells in zip((run["start"], *run["settings"].values()), shown, strict=True):
        cells.append(f"{row['names_nothing']:.0f} %")
        if "interval" in row:
            low, high = row["interval"]
            cells.append(f"{row['read_in_both_points']:+.1f} ({low:+.1f} to {high:+.1f})")
    assert [line.strip("| ").split(" | ")[1:] for line in table.splitlines()[2:]] == shown
    worse = [name for name, row in run["settings"].items() if row["read_in_both_points"] < 1]
    assert worse == ["learning rate 3e-4", "groups without spread replaced", "24 x 4, beta 2"]
    assert "only the highest learning rate, replaced groups and `beta` 2 look worse" in told


def test_figures_of_grpo_precision():
    told, run = beside("grpo_precision"), measured("grpo_precision")
    table = next(text for text in paragraphs() if text.startswith("| GRPO in | F1 |"))
    fp32, bf16 = run["settings"]["fp32"], run["settings"]["bf16"]
    spent = [
        [f"{one['carried_first']:.2f}, {one['carried_last']:.2f}", f"{one['seconds_a_step']:.0f}"]
        for one in (fp32, bf16)
    ]
    costs = [["", ""], *spent, ["", ""]]
    rows = [run["start"], fp32["sampled"], bf16["sampled"], bf16["master"]]
    assert [[cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()[2:]] == [
        [f"{row[key]:.1f}" for key in ("f1", "precision", "recall")] + [f"{row['names_nothing']:.0f} %", *cost]
        for row, cost in zip(rows, costs, strict=True)
    ]
    assert fp32["master"] == fp32["sampled"], "one row for both"
    before = next(text for text in paragraphs() if "From SmolLM2's quickstart" in text)
    assert f"{run['steps']} steps of one seed" in before
    assert f"These are {run['start']['sentences']} sentences" in told
    would = run["fp32_would_carry"]
    assert f"fp16 would carry {would['float16']:.2f} of fp32's, bf16 {would['bfloat16']:.2f}" in told


def learning(name, cells, differences):
    """The figures of a run of launch/learning.sh, which README's tables of these headings have to show."""
    run, shown = measured(name), [text for text in paragraphs() if text.startswith("|")]
    told, crossner = run["tests"]["in_domain"], run["tests"]["crossner"]

    def rows(heading):
        table = next(text for text in shown if text.startswith(f"| {heading} | F1 |"))
        return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]

    def named(name, row):
        return name if row["seeds"] == run["seeds"] else f"{name} (seeds {', '.join(map(str, row['seeds']))})"

    assert rows(cells) == [
        [named(cell, row)]
        + [f"{100 * row[key]:.1f}" for key in ("f1", "precision", "recall")]
        + [f"{100 * row['names_nothing']:.0f} %", f"{100 * crossner['cells'][cell]['f1']:.1f}"]
        for cell, row in told["cells"].items()
    ]
    expected = []
    for name_, row in told["differences"].items():
        both = row["parts"]["read in both"]
        points = [f"{f1:+.1f} ({low:+.1f} to {high:+.1f})" for f1, (low, high) in (
            (row["points"], row["interval"]), (both["f1"], both["interval"])
        )]  # fmt: skip
        expected.append([named(name_, row), *points, f"{both['precision']:+.1f}, {both['recall']:+.1f}"])
    assert rows(differences) == expected
    before = beside(name)
    assert f"on {told['sentences']:,} sentences" in before
    assert f"{crossner['sentences']:,} of CrossNER" in before
    return run, told


GOES = ("first", "second", "third")


def smollm2(go):
    return measured(f"learning_smollm2_135m_{go}")


def test_figures_of_learning_smollm2_135m_first():
    table = next(text for text in paragraphs() if text.startswith("| SmolLM2, steps of SFT before |"))
    shown, steps = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]], 0
    for go, row in zip(GOES, shown, strict=True):
        told = smollm2(go)["tests"]["in_domain"]
        steps += smollm2(go)["runs"]["sft"]["1"]["steps"]
        cells = [f"{100 * told['cells'][cell]['f1']:.1f}" for cell in ("sft", "grpo", "sft_time")]
        points = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(one["points"], *one["interval"])
            for one in (told["differences"][f"grpo - {cell}"] for cell in ("sft", "sft_time"))
        ]
        assert row == [str(steps), *cells, *points]
    run, text = smollm2("first"), beside("learning_smollm2_135m_first")
    sentences = [smollm2(go)["tests"]["in_domain"]["sentences"] for go in GOES]
    assert "scored on {1:,} sentences of the two corpora, in the first run on {0},".format(*sentences) in text
    assert sentences[1] == sentences[2]
    settings = next(one for one in paragraphs() if one.startswith("GRPO of the last two runs"))
    silent = (f"{100 * run['tests']['in_domain']['cells'][cell]['names_nothing']:.0f}" for cell in ("sft", "grpo"))
    assert "silence rose from {} to {} %".format(*silent) in settings
    grpo = run["runs"]["grpo"]["1"]
    assert f"{grpo['steps']} steps of {grpo['batch']} prompts at temperature 1" in settings
    command = next(one for one in paragraphs() if one.startswith("export SEEDS=1"))
    by_file = ("optim.lr=", "lr_scheduler_type=", "empty_value=", "save_freq=", "test_freq=", "total_epochs=")
    written = [
        one for one in grpo["overrides"]
        if one.startswith(("data.train_batch", "actor_rollout_ref.actor", "reward.", "trainer.")) and "_dir=" not in one
    ]  # fmt: skip
    assert len(written) >= 8
    assert all(one in command or any(key in one for key in by_file) for one in written)


def test_figures_of_learning_smollm2_135m_second():
    run = smollm2("second")
    both = run["tests"]["in_domain"]["differences"]["grpo - sft"]["parts"]["read in both"]
    text = next(one for one in paragraphs() if one.startswith("Only the third SFT is done"))
    assert f"({both['precision']:+.1f} and {both['recall']:+.1f} on sentences that both could read)" in text
    grpo = run["runs"]["grpo"]["1"]
    ours = ("data.train_batch", "actor_rollout_ref.actor", "actor_rollout_ref.rollout.t", "reward.", "trainer.save")
    ran = [one for one in grpo["overrides"] if one.startswith(ours)]
    by_file, as_it_ran = (compose("grpo_smollm2_135m_large_batch", overrides) for overrides in ([], ran))
    assert len(ran) >= 10
    assert by_file == as_it_ran, "the file has the settings of this run"


def test_figures_of_learning_smollm2_135m_third():
    run, told = learning("learning_smollm2_135m_third", "SmolLM2", "SmolLM2, difference")
    assert run["seeds"] == [1], "one seed says nothing of others"
    grpo, control = (run["runs"][cell]["1"] for cell in ("grpo", "sft_time"))
    text = next(one for one in paragraphs() if one.startswith("Only the third SFT is done"))
    more = 100 * (told["cells"]["sft_time"]["f1"] - told["cells"]["sft"]["f1"])
    assert f"{control['steps']} steps more give it {more:.1f}" in text
    apart = told["differences"]["grpo - sft_time"]
    assert f"But {apart['points']:.1f} points are fewer than chance may give" in text
    assert apart["interval"][0] < 0
    both = smollm2("second")["runs"]["grpo"]["1"]
    settings = next(one for one in paragraphs() if one.startswith("GRPO of the last two runs"))
    minutes = sorted(round(one["seconds"] / 60) for one in (grpo, both))
    assert (grpo["steps"], grpo["batch"]) == (both["steps"], both["batch"])
    assert "is {} steps of `grpo_smollm2_135m_large_batch` in {} to {} minutes: {} prompts of 4".format(
        grpo["steps"], *minutes, grpo["batch"]
    ) in settings  # fmt: skip


def test_figures_of_learning_smollm2_135m_base():
    base, trained = smollm2("base")["tests"], smollm2("third")["tests"]
    text = next(one for one in paragraphs() if one.startswith("Before SFT the model knows nothing"))
    tests = [base["in_domain"], base["crossner"]]
    assert [one["data_sha256"] for one in tests] == [trained[name]["data_sha256"] for name in ("in_domain", "crossner")]
    assert "the same {:,} and {:,} sentences".format(*(one["sentences"] for one in tests)) in text
    rows = [one["cells"]["base"] for one in tests]
    assert "F1 is {:.1f}, and {:.1f} on CrossNER".format(*(100 * row["f1"] for row in rows)) in text
    assert "{:.0f} and {:.0f} % of its answers".format(*(100 * row["unreadable"] for row in rows)) in text


def test_figures_of_learning_tiny():
    run, told = learning("learning_tiny", "cell", "difference")
    assert run["seeds"] == [1, 2, 3], "three seeds"
    text = next(one for one in paragraphs() if one.startswith("So GRPO gains where"))
    assert f"seed 3 chose nothing, and gains {told['differences']['grpo - sft']['points_by_seed']['3']:.1f}" in text
    root = " ".join((ROOT / "README.md").read_text().split())
    before, after, control = (f"{100 * told['cells'][cell]['f1']:.1f}" for cell in ("sft", "grpo", "sft_time"))
    assert f"GRPO took F1 from {before} to {after} with no recall lost" in root
    assert f"SFT of the same time to {control}," in root
    sft_time, grpo = (
        " and ".join(f"{run['runs'][cell][seed]['seconds']:,.0f}" for seed in "12") for cell in ("sft_time", "grpo")
    )
    assert f"{sft_time}, where the table's took {grpo}" in text


def test_figures_of_learning_tiny_rows():
    run, told = learning("learning_tiny_rows", "GRPO's prompts, cell", "GRPO's prompts, difference")
    whole = measured("learning_tiny")
    for test in ("in_domain", "crossner"):
        first, second = (one["tests"][test] for one in (whole, run))
        assert first["data_sha256"] == second["data_sha256"]
        assert first["cells"]["sft"]["f1_by_seed"] == second["cells"]["sft"]["f1_by_seed"], "the same SFTs"
    text = next(one for one in paragraphs() if one.startswith("So SFT on the best of the model's own"))
    grpo, best_of = (
        one["tests"]["in_domain"]["cells"][cell]["f1_by_seed"] for one, cell in ((whole, "grpo"), (run, "best_of"))
    )
    apart = [100 * (grpo[seed] - best_of[seed]) for seed in "123"]
    assert "above best_of's by {:.1f}, {:.1f} and {:.1f} in the three seeds".format(*apart) in text
    gains = (
        one["tests"]["in_domain"]["differences"][f"{cell} - sft"]["points"]
        for one, cell in ((run, "best_of"), (whole, "grpo"))
    )
    assert "gains {:.1f} of GRPO's {:.1f} points".format(*gains) in text
    low, high = told["differences"]["sft_rows - sft"]["interval"]
    assert low < 0 < high, "gold answers give nothing beyond noise"

    def of_its_sft(one, cell, more=0):
        trained, sft = (mean(each["seconds"] for each in one["runs"][name].values()) for name in (cell, "sft"))
        return f"{(trained + more) / sft:.2f}"

    sampling = mean(run["sampling_seconds"].values())
    shares = of_its_sft(run, "best_of", sampling), of_its_sft(whole, "grpo")
    assert "{} of their SFT's seconds, GRPO's steps {} of theirs".format(*shares) in text
    root = " ".join((ROOT / "README.md").read_text().split())
    assert f"the best of eight answers of its own to {100 * told['cells']['best_of']['f1']:.1f};" in root


def test_figures_of_learning_tiny_bio():
    run, told = learning("learning_tiny_bio", "BIO cell", "BIO difference")
    assert run["seeds"] == [1, 2, 3], "three seeds"
    low, high = told["differences"]["grpo - sft"]["interval"]
    assert low < 0 < high, "no F1 beyond noise"
    after = next(one for one in paragraphs() if one.startswith("The seeds' differences are"))
    assert "{:+.1f}, {:+.1f} and {:+.1f}".format(*told["differences"]["grpo - sft"]["points_by_seed"].values()) in after
    command = next(one for one in paragraphs() if one.startswith("KEEP_EMPTY=0.41"))
    assert {f"RL_ROWS={one['rows']}" in command for one in run["runs"]["grpo"].values()} == {True}


def test_figures_of_learning_tiny_entity_tags():
    run, told = learning("learning_tiny_entity_tags", "entity tags, cell", "entity tags, difference")
    assert run["seeds"] == [1, 2, 3], "three seeds"
    assert told["differences"]["grpo - sft"]["interval"][0] > 0, "gains F1"
    after = next(one for one in paragraphs() if one.startswith("Its differences by seed are"))
    assert "{:+.1f}, {:+.1f} and {:+.1f}".format(*told["differences"]["grpo - sft"]["points_by_seed"].values()) in after
    command = next(one for one in paragraphs() if one.startswith("KEEP_EMPTY=0.32"))
    assert {f"RL_ROWS={one['rows']}" in command for one in run["runs"]["grpo"].values()} == {True}


def test_what_grpo_is_worth_in_short():
    table = next(text for text in paragraphs() if text.startswith("| model, answers | seeds |"))
    names = ("tiny", "smollm2_135m_third", "tiny_bio", "tiny_entity_tags")
    expected = []
    for run in map(measured, (f"learning_{name}" for name in names)):
        told = run["tests"]["in_domain"]
        cells = [
            f"{100 * told['cells'][cell]['f1']:.1f}" if cell in told["cells"] else ""
            for cell in ("sft", "grpo", "sft_time")
        ]
        points = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(one["points"], *one["interval"]) if one else ""
            for one in (told["differences"].get(f"grpo - {cell}") for cell in ("sft", "sft_time"))
        ]
        expected.append([str(len(run["seeds"])), *cells, *points])
    assert [
        [cell.strip() for cell in line.strip().strip("|").split("|")][1:] for line in table.splitlines()[2:]
    ] == expected


def test_figures_of_plan_against_measurement():
    told, rows = beside("plan_against_measurement"), measured("plan_against_measurement")["rows"]
    assert f"within {max(abs(row['off']) for row in rows):.0%}".replace("%", " %") in told
    assert f"{['no', 'one', 'two', 'three', 'four', 'five', 'six'][len(rows)]} models and settings" in told


def test_figures_of_recall_oriented():
    told, measurement = beside("recall_oriented"), measured("recall_oriented")
    runs, seeds = measurement["runs"], {run["seed"] for run in measurement["runs"]}
    assert f"{['no', 'one', 'two', 'three'][len(seeds)]} seeds" in told

    def average(wording, loss, key):
        return 100 * mean(run[key] for run in runs if (run["wording"], run["loss"]) == (wording, loss))

    for key, name in (("recall", "recall"), ("f1", "F1")):
        plain, weighted = (average("two steps", loss, key) for loss in ("plain", "recall-oriented"))
        unit = " %" if name == "recall" else ""
        assert f"{name} from {plain:.1f} to {weighted:.1f}{unit}" in told
        differences = [average("one step", loss, key) for loss in ("plain", "recall-oriented")]
        spread = [100 * run[key] for run in runs if (run["wording"], run["loss"]) == ("one step", "plain")]
        assert abs(differences[0] - differences[1]) < max(spread) - min(spread)


def test_figures_of_answer_formats():
    measurement = measured("answer_formats")
    beside("answer_formats")
    table = next(text for text in paragraphs() if text.startswith("| the tiny model | strict macro F1"))
    budget = next(text for text in paragraphs() if "With one budget for all three" in text)
    assert f"{measurement['sft_rows']:,} rows of SFT, {measurement['grpo_steps']} GRPO steps" in budget
    assert f"steps of {measurement['grpo_prompts']} prompts" in budget
    assert f"{2 * measurement['sentences_a_dataset']} test sentences" in budget
    for name in answers.formats_of("ner"):
        first, then = (
            next(run for run in measurement["runs"] if (run["format"], run["stage"]) == (name, stage))
            for stage in ("SFT", "SFT + GRPO")
        )
        cells = [
            f"`{name}`",
            *(f"{100 * run['strict_f1']:.1f}" for run in (first, then)),
            f"{100 * first['unparsable_answers']:.0f} → {100 * then['unparsable_answers']:.0f} %",
            f"{first['tokens_a_sentence']:.0f} → {then['tokens_a_sentence']:.0f}",
        ]
        row = next(line for line in table.splitlines() if line.startswith(f"| `{name}`"))
        assert [cell.strip().removesuffix(" of answers") for cell in row.strip("|").split("|")] == cells


def test_figures_of_metrics_against_reference():
    told, run = beside("metrics_against_reference"), measured("metrics_against_reference")
    assert f"On {run['predictions']:,} corrupted answers" in told
    assert run["agrees"]
    assert sum(part["undocumented"] for part in run["sentence_f1"].values()) == 0


def test_figures_of_relations_against_spert():
    told, run = beside("relations_against_spert"), measured("relations_against_spert")
    assert run["agrees"]
    assert f"On {run['predictions']:,} corrupted predictions each" in told
    assert not any(each["one_name_two_places"] for each in run["sentence_f1"].values())


def test_figures_of_events_against_textee():
    told, run = beside("events_against_textee"), measured("events_against_textee")
    assert run["agrees"]
    assert f"On {run['predictions']:,} corrupted predictions each" in told
    apart = sum(each["one_name_two_places"] for each in run["sentences"].values())
    assert f"but for {apart} sentences" in told


def test_figures_of_scoring_speed():
    told, run = beside("scoring_speed"), measured("scoring_speed")
    assert f"{run['sentences']:,} saved answers are scored in about {run['cpu_seconds']:.0f} s of CPU time" in told
    assert run.get("same_figures", True)
