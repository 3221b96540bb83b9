"""Datasets on the Hugging Face hub: fetched over HTTP from a hub on this machine, by a process with its environment."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Repository, hub

from data_prep.hub import Fetched, fetch, is_hub
from recipe.core.entities import DataError

ROOT = Path(__file__).resolve().parent.parent
ROW = b'{"tokens": ["EU", "rejects"], "ner_tags": ["B-ORG", "O"]}\n'
NUMBERED = b'{"tokens": ["EU", "rejects"], "ner_tags": [1, 0]}\n'
CARD = b"---\ndataset_info:\n  features:\n  - name: ner_tags\n    sequence:\n      class_label:\n        names:\n"
CARD += b"          '0': O\n          '1': B-organisation\n---\n# News\n"

PROGRAM = """
import json, sys
from pathlib import Path
from data_prep.hub import fetch
from recipe.core.entities import DataError
for text in sys.argv[1:]:
    try:
        fetched = fetch(text)
        print(json.dumps([fetched.path.as_posix(), fetched.name, fetched.commit]))
    except DataError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def asking(tmp_path):
    """`asking(address, "hf:owner/name", HF_TOKEN=...)`: what each text was fetched as, or the line of complaint."""

    def ask(address: str, *texts: str, **settings: str) -> list:
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), **settings}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING_FACE"))}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *texts], env=kept | settings, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(isinstance(answer, list) or "\n" not in answer for answer in answers)
        return [Fetched(Path(one[0]), *one[1:]) if isinstance(one, list) else one for one in answers]

    return ask


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_names_a_dataset_of_the_hub_and_what_is_a_path():
    assert is_hub("hf:owner/name")
    assert not is_hub("NER")
    assert not is_hub(Path("hf"))


@pytest.mark.parametrize(
    "text", ["hf:", "hf:name", "hf:a/b@", "hf:a/b/../c", "hf:a/b/./c.json", "hf:a/b//c", "hf:a b/c"]
)
def test_a_name_that_is_none_is_refused_before_anything_is_asked(text):
    with pytest.raises(DataError, match=r"names no dataset of the hub; write hf:OWNER/NAME, hf:OWNER/NAME@REVISION"):
        fetch(text)


def test_the_files_that_are_read_come_and_others_stay(asking):
    first = Repository(
        {"train.jsonl": ROW, "en/test.conll": b"EU B-ORG\n", "model.bin": b"0" * 99, "load.py": b"", "README.md": b""},
        "1" * 40,
        others={"v2": Repository({"train.json": b"[]"}, "2" * 40)},
    )
    with hub({"owner/news": first}) as server:
        whole, second, again, one, folder = asking(
            server.address,
            *("hf:owner/news", "hf:owner/news@v2", "hf:owner/news@" + "2" * 40),
            *("hf:owner/news/train.jsonl", "hf:owner/news/en"),
        )
    assert (whole.name, whole.commit) == ("news", "1" * 40)
    assert files(whole.path) == ["README.md", "en/test.conll", "train.jsonl"]
    assert second == again
    assert (second.name, second.commit, files(second.path)) == ("news", "2" * 40, ["train.json"])
    assert (one.name, one.path.read_bytes()) == ("news", ROW)
    assert (folder.name, files(folder.path)) == ("en", ["test.conll"])
    assert not [path for _, path, _ in server.asked if path.endswith((".bin", ".py"))]


def test_one_file_or_folder_is_all_that_is_fetched_besides_the_card(asking):
    held = {"a/train.jsonl": ROW, "b/train.jsonl": ROW, "b[1]/x.json": b"[]", "README.md": CARD}
    with hub({"owner/news": Repository(held)}) as server:
        (folder,) = asking(server.address, "hf:owner/news/a")
        assert files(folder.path.parent) == ["README.md", "a/train.jsonl"]
        (one,) = asking(server.address, "hf:owner/news/b[1]/x.json")
    assert one.path.read_bytes() == b"[]"
    assert files(folder.path.parent) == ["README.md", "a/train.jsonl", "b[1]/x.json"]


def test_a_folder_that_holds_all_there_is_is_the_dataset(asking):
    names = {"owner/a": "dataset/train.json", "owner/b": "default/train/0000.jsonl", "owner/c": "train/0000.jsonl"}
    with hub({name: Repository({path: ROW, "README.md": b""}) for name, path in names.items()}) as server:
        a, b, c = asking(server.address, *(f"hf:{name}" for name in names))
    assert [fetched.name for fetched in (a, b, c)] == ["a", "b", "c"]
    assert [a.path.name, b.path.name, c.path.name] == ["dataset", "default", c.commit]


def test_a_token_of_the_environment_opens_what_is_private_or_gated_and_is_told_to_nobody(asking):
    private = Repository({"train.jsonl": ROW}, token="hf_secret")
    gated = Repository({"train.jsonl": ROW}, token="hf_secret", gated=True)
    names = ("hf:owner/private", "hf:owner/gated")
    with hub({"owner/private": private, "owner/gated": gated}) as server:
        without = asking(server.address, *names, "hf:owner/nothing")
        refused = asking(server.address, *names, HF_TOKEN="hf_expired")
        opened = asking(server.address, *names, HF_TOKEN="hf_secret")
    assert without == [
        "hf:owner/private: is not there, or is private; correct the name, or set HF_TOKEN to one that may read it",
        "hf:owner/gated: is gated; accept its terms on its page, and set HF_TOKEN to a token of that account",
        "hf:owner/nothing: is not there, or is private; correct the name, or set HF_TOKEN to one that may read it",
    ]
    assert refused == [f"{name}: the hub refuses the token; correct HF_TOKEN, or unset it" for name in names]
    assert [fetched.name for fetched in opened] == ["private", "gated"]
    assert ("GET", "/api/datasets/owner/private/revision/main", "Bearer hf_secret") in server.asked


def test_what_is_not_there_is_said_in_one_line(asking):
    held = {"owner/news": Repository({"train.jsonl": ROW}), "owner/script": Repository({"load.py": b"", "a.zip": b""})}
    with hub(held) as server:
        revision, file, script, name = asking(
            server.address, "hf:owner/news@v9", "hf:owner/news/dev.jsonl", "hf:owner/script", "hf:owner/a--b"
        )
    assert revision == "hf:owner/news@v9: has no revision v9; the hub lists its branches and tags"
    assert file.startswith("hf:owner/news/dev.jsonl: the repository has no dev.jsonl, or nothing in it that is read; ")
    assert script.startswith("hf:owner/script: holds no file that is read (.json, .jsonl, ")
    assert script.endswith("; if a script makes its files, try hf:owner/script@refs/convert/parquet")
    assert name.startswith("hf:owner/a--b: is no name that the hub allows; ")


def test_the_converted_files_of_a_script_are_at_a_revision_with_slashes(asking):
    converted = Repository({"default/train/0000.jsonl": ROW}, "4" * 40)
    with hub({"owner/script": Repository({"load.py": b""}, others={"refs/convert/parquet": converted})}) as server:
        whole, one = asking(
            server.address,
            "hf:owner/script@refs/convert/parquet",
            "hf:owner/script@refs/convert/parquet/default/train/0000.jsonl",
        )
    assert (whole.commit, files(whole.path)) == ("4" * 40, ["train/0000.jsonl"])
    assert one.path.read_bytes() == ROW


def test_without_a_network_the_cache_is_read_and_what_is_not_in_it_is_named(asking):
    with hub({"owner/news": Repository({"train.jsonl": ROW, "dev.jsonl": ROW})}) as server:
        address = server.address
        part = asking(address, "hf:owner/news/train.jsonl")
        incomplete = asking(address, "hf:owner/news", HF_HUB_OFFLINE="1")
        whole = asking(address, "hf:owner/news")
        before = len(server.asked)
        offline = asking(address, "hf:owner/news", "hf:owner/news/train.jsonl", "hf:owner/other", HF_HUB_OFFLINE="1")
        assert len(server.asked) == before
    absent = "is not in the cache, or not all of it, and HF_HUB_OFFLINE is set; fetch it once without that"
    assert incomplete == [f"hf:owner/news: {absent}"]
    assert offline == [*whole, *part, f"hf:owner/other: {absent}"]
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        cached, other = asking(dead, "hf:owner/news", "hf:owner/other")
    assert cached == whole[0]
    assert other == f"hf:owner/other: {dead} can't be reached, and it isn't in the cache; is the network there?"


def prepared(server, folder, *arguments):
    """The manifest that the command writes with a hub of its own and nothing in the cache."""
    done = subprocess.run(
        [sys.executable, "data_prep/to_parquet.py", *arguments, "--out", str(folder / "out")],
        env={**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "manifest.json").read_text())


def test_rows_of_a_dataset_of_the_hub_bear_its_name_and_the_manifest_its_commit(tmp_path):
    split = "data/test-00000-of-00001.jsonl"
    with hub({"owner/news": Repository({split: NUMBERED, "README.md": CARD}, "6" * 40)}) as server:
        entry = prepared(server, tmp_path, "eval", "--corpora", "hf:owner/news")["test.parquet"]
    assert entry["hub"] == {"hf:owner/news": "6" * 40}
    assert entry["datasets"]["news"]["written"] == 1


def test_rows_with_reasoning_come_from_the_hub_and_are_called_by_what_names_them(tmp_path):
    entity = {"text": "Ada", "label": "person"}
    row = {"sentence": "Ada left", "schema": ["person"], "source": "toy", "cot": "Ada is one.", "entities": [entity]}
    files = {"rows/train.json": json.dumps([row]).encode(), "README.md": b"# card"}
    with hub({"owner/cot": Repository(files, "7" * 40)}) as server:
        entry = prepared(server, tmp_path, "sft", "--ner-cot", "hf:owner/cot")["train.parquet"]
    assert (entry["hub"], entry["rows"]) == ({"hf:owner/cot": "7" * 40}, 1)
    assert list(entry["datasets"]) == ["hf:owner/cot/train.json"]


def test_what_was_fetched_is_read_with_the_names_that_its_card_gives(asking):
    from recipe.corpora.datasets import dataset_at, read_dataset

    with hub({"owner/news": Repository({"data/train-00000-of-00001.jsonl": NUMBERED, "README.md": CARD})}) as server:
        (fetched,) = asking(server.address, "hf:owner/news")
    (example,) = read_dataset(dataset_at(fetched.path), "train")
    assert [(entity.name, entity.type) for entity in example.entities] == [("EU", "organisation")]
