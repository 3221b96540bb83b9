import subprocess
import sys
from pathlib import Path

import recipe

ROOT = Path(__file__).resolve().parent.parent
CORE = [
    "core.entities", "core.metrics", "core.align", "core.sampling", "answers", "answers.queries", "corpora.datasets",
    "corpora.mrc", "corpora.json_files", "corpora.conll", "corpora.records", "corpora.sentence_overlap",
    "evaluate.disagreements", "evaluate.protocols", "evaluate.published", "models.chat",
]  # fmt: skip
HEAVY = ["torch", "ray", "vllm", "verl", "pandas", "pyarrow", "numpy", "transformers", "tqdm"]


def run(code: str, cwd: Path = ROOT) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_recipe_is_this_repository_and_not_another_package_of_that_name():
    assert Path(recipe.__file__) == ROOT / "recipe" / "__init__.py"


def test_the_core_imports_the_standard_library_alone():
    imports = "import " + ", ".join(f"recipe.{name}" for name in CORE)
    assert run(f"import sys; {imports}; print([name for name in {HEAVY} if name in sys.modules])").strip() == "[]"


def test_the_core_imports_little_of_it():
    imports = "import " + ", ".join(f"recipe.{name}" for name in CORE)
    # 126 of its own and the standard library's: a seventh of a second. asyncio and http.client alone bring 80 more.
    assert int(run(f"import sys; start = len(sys.modules); {imports}; print(len(sys.modules) - start)")) < 160


def test_the_command_finds_the_recipe_from_any_folder(tmp_path):
    script = ROOT / "data_prep" / "to_parquet.py"
    shown = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "python data_prep/to_parquet.py grpo" in shown.stdout
