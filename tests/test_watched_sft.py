"""The watched trainer of tests/benchmarks starts with the environment that it is given."""

import pytest
from benchmarks.watched_sft import watch


def test_folders_on_the_path_of_python_stay_there(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('from the given folder')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="from the given folder"):
        watch(tmp_path / "run", "sft_tiny", [])
