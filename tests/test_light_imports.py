import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_prep.light_imports import _Distributions, _faster
from recipe.core.imports import Changed

ROOT = Path(__file__).resolve().parent.parent
# Every class that transformers offers, and what it says of the packages that are installed.
OFFERED = """
import importlib.metadata, sys
import transformers
from transformers.utils import import_utils
print(sorted(name for name in dir(transformers) if not name.startswith("_")))
print(import_utils._is_package_available("tokenizers", return_version=True))
print(sorted(import_utils.PACKAGE_DISTRIBUTION_MAPPING.items()))
import httpx; print(callable(httpx.main))
"""


def shown(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_transformers_offers_the_same():
    without_torch = "import sys; sys.modules['torch'] = None"
    light = "from data_prep.light_imports import leave_out; leave_out()"
    assert shown(f"{light}\n{OFFERED}") == shown(f"{without_torch}\n{OFFERED}")


def test_a_tokenizer_loads_without_what_it_does_not_need():
    code = "from data_prep.light_imports import leave_out; leave_out(); import transformers, sys\n"
    code += "from transformers import AutoTokenizer; import pyarrow.parquet\n"
    code += "print([name for name in ('torch', 'pandas', 'rich', 'click') if sys.modules.get(name)])"
    assert shown(code).strip() == "[]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1\n",
        '__all__ = ["A", "B"]',
        'import a\n\n__all__ = ["A"]\n',
        '"""__all__"""\nimport a\n__all__ = [\n    "A",\n    "B",\n]\n',
        '__all__ = ["A"]\nx = 1\n__all__ = ["B"]\n',
        'x = 1\n__all__ = ["A"]\n\x0c__all__ = ["B"]\n',
        'x = 1\x0c__all__ = ["A"]\n',
        "    __all__ = []\n",
    ],
)
def test_names_are_read_from_the_last_line_that_says_them(text):
    import_utils = pytest.importorskip("transformers.utils.import_utils")
    faster = SimpleNamespace(fetch__all__=import_utils.fetch__all__)
    _faster(faster)
    assert faster.fetch__all__ is not import_utils.fetch__all__
    assert faster.fetch__all__(text) == import_utils.fetch__all__(text)


def test_distributions_are_those_of_the_standard_library():
    assert dict(_Distributions()) == metadata.packages_distributions()


def test_a_module_is_changed_once_it_was_run(tmp_path, monkeypatch):
    (tmp_path / "changed_one.py").write_text("value = 1")
    (tmp_path / "other_one.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    finder = Changed("changed_one", lambda module: setattr(module, "value", module.value + 1))
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    changed, other = map(importlib.import_module, ("changed_one", "other_one"))
    assert (changed.value, other.value) == (2, 1)
    assert changed.__loader__.get_source("changed_one") == "value = 1"
    for name in ("changed_one", "other_one"):
        del sys.modules[name]
