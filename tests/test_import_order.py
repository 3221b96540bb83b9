"""The order of imports between folders, and what the core may load."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the ground up: a place imports from those before it in this list, and from no other.
ORDER = [
    "core", "answers", "corpora", "eos", "engines", "cpu", "models", "generate", "merge", "internlm2", "smollm2",
    "ray_cluster", "train", "evaluate", "predict", "report", "plan", "cot", "tiny_model", "adversarial", "preflight",
    "constrained", "rollouts", "compare", "overlap", "ablation", "learning", "difficulty",
]  # fmt: skip
# What stands beside recipe/ sees these of its places. YAML and verl call the three; recipe/ never does.
BESIDE = {
    "reward_fns": {"core", "answers", "corpora"},
    "sft": {"core", "answers", "eos", "models"},
    "data_prep": {"core", "answers", "corpora", "models", "evaluate"},
}
FILES = sorted(path for top in ("recipe", *BESIDE) for path in (ROOT / top).rglob("*.py"))
FILES.remove(ROOT / "recipe" / "__init__.py")  # imports nothing


def place(module: str) -> str:
    """`recipe.core.files` -> `core`; `reward_fns.ner` -> `reward_fns`."""
    top, _, rest = module.partition(".")
    return rest.split(".")[0] if top == "recipe" else top


def imported(path: Path) -> set[str]:
    """The places that a file imports from, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "recipe":
            found |= {f"recipe.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return {place(name) for name in found if name.split(".")[0] in ("recipe", *BESIDE)} - {""}


def own(path: Path) -> str:
    return place(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_every_place_of_the_recipe_is_in_the_order():
    there = {own(path) for path in (ROOT / "recipe").rglob("*.py")} - {"__init__"}
    assert there == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    here = own(path)
    allowed = BESIDE[here] if here in BESIDE else set(ORDER[: ORDER.index(here)])
    assert imported(path) - {here} <= allowed


def test_a_newcomer_sees_thirty_entries_at_most():
    assert len({path.name for path in (ROOT / "recipe").iterdir()} - {"__pycache__"}) <= 30
