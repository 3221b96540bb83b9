"""Why a run failed, found in logs as Ray, torchrun, verl and vLLM write them (cut to what matters)."""

import pytest

from recipe.core import failure
from recipe.core.failure import find_cause, last_words


def said_by(process, text):
    """The lines as Ray passes them on, in colour."""
    return "".join(f"\x1b[36m({process})\x1b[0m {line}\n" for line in text.splitlines())


STEP = said_by("TaskRunnerV1 pid=27987", "step:2 - critic/score/mean:6.8 - training/global_step:2")

REWARD = said_by(
    "AgentLoopWorkerTQ pid=30964",
    """\
ERROR:2026-01-02 07:13:21,873:Error in _run_prompt for uid=6642c210
Traceback (most recent call last):
  File "/env/site-packages/verl/experimental/agent_loop/agent_loop.py", line 1026, in _compute_score
    result = await selected_reward_loop_worker_handle.compute_score.remote(data)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ray.exceptions.RayTaskError(KeyError): ray::RewardLoopWorker.compute_score() (pid=29144, ip=192.0.2.2, actor_id=69)
  File "/env/site-packages/verl/trainer/ppo/reward.py", line 38, in _call_with_kwargs
    return raw_fn(*args, **merged_kwargs)
  File "/home/me/mine.py", line 8, in compute_score
    raise KeyError("no such row")
KeyError: 'no such row'
""",
)

# What verl's trainer then stumbles over.
EMPTY = """\
Error executing job with overrides: ['data.train_files=train.parquet']
Traceback (most recent call last):
  File "/env/site-packages/verl/trainer/main_ppo.py", line 93, in run_ppo
    ray.get(runner.run.remote(config))
ray.exceptions.RayTaskError(ValueError): ray::TaskRunnerV1.run() (pid=27987, ip=192.0.2.2, actor_id=b3)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/env/site-packages/transfer_queue/client.py", line 961, in async_kv_retrieve_meta
    raise ValueError("Received an empty list as keys.")
ValueError: Received an empty list as keys.

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
"""

# Lines of two processes are mixed.
STORAGE = said_by("SimpleStorageUnit pid=28536", "2026-01-02 07:13:22,623 - WARNING - transfer_queue - Setting to 2.")
MIXED = REWARD.splitlines(keepends=True)
RAISING_REWARD = STEP + "".join([*MIXED[:3], STORAGE, *MIXED[3:]]) + STORAGE + EMPTY

WRONG_MODEL = """\
Error executing job with overrides: ['model.path=/models/none']
Error in call to target 'verl.workers.config.model.HFModelConfig':
OSError("Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/none'.")
full_key: model

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
E0102 07:01:05.204000 25947 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 0
Traceback (most recent call last):
  File "/env/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
sft.train FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-02_07:01:04
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 26064)
============================================================
"""

WRONG_MODEL_IN_A_WORKER = """\
Traceback (most recent call last):
  File "/env/site-packages/verl/trainer/main_ppo.py", line 93, in run_ppo
    ray.get(runner.run.remote(config))
ray.exceptions.RayTaskError(OSError): ray::TaskRunnerV1.run() (pid=11, ip=192.0.2.2, actor_id=b3)
  File "/env/site-packages/verl/single_controller/ray/base.py", line 57, in func
    output = ray.get(output)
ray.exceptions.RayTaskError(OSError): ray::WorkerDict.actor_rollout_init_model() (pid=12, ip=192.0.2.2, actor_id=c4)
  File "/env/site-packages/transformers/utils/hub.py", line 422, in cached_file
    raise OSError("no file named config.json")
OSError: no file named config.json
"""

RENDEZVOUS = "torch/distributed/elastic/rendezvous/c10d_rendezvous_backend.py"
PORT_IN_USE = f"""\
Traceback (most recent call last):
  File "/env/site-packages/{RENDEZVOUS}", line 156, in _create_tcp_store
    store = TCPStore(
            ^^^^^^^^^
torch.distributed.DistNetworkError: The server socket has failed to listen. port: 29755, message: address already in use

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/env/site-packages/{RENDEZVOUS}", line 180, in _create_tcp_store
    raise RendezvousConnectionError(
torch.distributed.elastic.rendezvous.api.RendezvousConnectionError: The connection to the C10d store has failed.
"""

KILLED_RANK = """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "/env/site-packages/torch/distributed/distributed_c10d.py", line 81, in wrapper
[rank1]: RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234
Traceback (most recent call last):
  File "/env/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
======================================================
Failures:
[1]:
  exitcode  : 1 (pid: 19760)
------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-02_03:22:56
  rank      : 0 (local_rank: 0)
  exitcode  : -9 (pid: 19759)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 19759
======================================================
"""

KILLED_ACTOR = """\
Traceback (most recent call last):
  File "/env/site-packages/ray/_private/worker.py", line 1053, in get_objects
    raise value
ray.exceptions.RayTaskError(ActorDiedError): ray::TaskRunnerV1.run() (pid=9, ip=192.0.2.2, actor_id=b3)
  File "/env/site-packages/verl/single_controller/ray/base.py", line 57, in func
    output = ray.get(output)
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
\tclass_name: create_colocated_worker_cls.<locals>.WorkerDict
\tactor_id: 5066c201b724a3936948a11201000000
\tpid: 87687
\tname: 07GxnAWorkerDict_0:3
\tip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: End of file.
"""

RAYS_MEMORY_MONITOR = """\
Traceback (most recent call last):
  File "/env/site-packages/ray/_private/worker.py", line 1053, in get_objects
    raise value
ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.
Memory on the node (IP: 192.0.2.2) where the task (name=WorkerDict.__init__, pid=41, memory used=56.57GB) was running
"""

VLLMS_ENGINE = "".join(
    f"(vLLMHttpServer pid=9394) (EngineCore pid=222) ERROR 01-02 17:27:44 [core.py:340] {line}\n"
    for line in (
        "Traceback (most recent call last):",
        '  File "/env/site-packages/vllm/v1/core.py", line 9, in start',
        '    raise ValueError("no room")',
        "ValueError: no room for one sequence",
    )
) + said_by(
    "vLLMHttpServer pid=9394",
    """\
Traceback (most recent call last):
  File "/env/site-packages/vllm/v1/utils.py", line 5, in wait
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
""",
)


@pytest.mark.parametrize(
    ("log", "what", "where"),
    [
        (RAISING_REWARD, "KeyError: 'no such row'", "/home/me/mine.py, line 8 (RewardLoopWorker pid=29144)"),
        (WRONG_MODEL, "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/none'.", ""),
        (WRONG_MODEL_IN_A_WORKER, "OSError: no file named config.json", "(WorkerDict pid=12)"),
        (PORT_IN_USE, "address already in use", f"in _create_tcp_store, {RENDEZVOUS}, line 156"),
        (KILLED_RANK, "a rank (pid 19759) was ended by SIGKILL, as the system does where memory runs out", ""),
        (KILLED_ACTOR, "WorkerDict (pid 87687) was killed or crashed", ""),
        (RAYS_MEMORY_MONITOR, "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on", ""),
        (VLLMS_ENGINE, "ValueError: no room for one sequence", "in start, vllm/v1/core.py, line 9 (EngineCore pid="),
    ],
    ids=["reward", "model", "model_in_worker", "port", "killed_rank", "killed_actor", "memory_monitor", "vllm"],
)  # fmt: skip
def test_the_cause_is_found_behind_what_wraps_it(tmp_path, log, what, where):
    (tmp_path / "log.txt").write_text(log)
    cause = find_cause(tmp_path / "log.txt")
    assert what in cause.what
    assert where in cause.where
    assert len(cause.lines(tmp_path / "log.txt")) <= 3
    assert all(len(line) < 250 for line in cause.lines(tmp_path / "log.txt"))


def test_the_cause_is_of_this_start_and_its_line_is_of_the_file(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text(VLLMS_ENGINE)
    start = log.stat().st_size
    with log.open("a") as file:
        file.write(PORT_IN_USE)
    cause = find_cause(log, start)
    assert log.read_text().splitlines()[cause.line - 1].startswith("torch.distributed.DistNetworkError")


def test_what_a_worker_raised_before_a_step_went_well_is_not_the_cause(tmp_path):
    (tmp_path / "log.txt").write_text(REWARD + STEP + EMPTY)
    assert "Received an empty list" in find_cause(tmp_path / "log.txt").what


def test_without_an_exception_the_last_line_and_its_process_are_told(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"(TaskRunnerV1 pid=1) step:1 - x:1\r\n(WorkerDict pid=7, ip=10.0.0.2) 3%|a\r50%|b\n\n")
    assert find_cause(log) == last_words(log)
    where = ["           by WorkerDict pid=7", f"log        {log}, line 2"]
    assert find_cause(log).lines(log) == ["cause      last printed: 50%|b", *where]


def test_an_empty_log_tells_nothing(tmp_path):
    log = tmp_path / "log.txt"
    log.touch()
    assert (find_cause(log), last_words(log), find_cause(tmp_path / "none")) == (None, None, None)


def test_of_a_long_log_the_end_is_read_and_lines_are_counted_from_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(failure, "_READ", 2000)
    (tmp_path / "log.txt").write_text("a line\n" * 1000 + PORT_IN_USE)
    assert find_cause(tmp_path / "log.txt").line == 1005


PYDANTIC = """\
Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/pydantic/_internal/_dataclasses.py", line 121, in __init__
    s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)
pydantic_core._pydantic_core.ValidationError: {count} for VllmConfig
{field}  {wrong} [type={type}, input_value=ArgsKwargs((), {{'model_co...}}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""


@pytest.mark.parametrize(
    ("count", "field", "wrong", "said"),
    [
        ("1 validation error", "", "Value error, 4 heads for 3 GPUs", "Value error, 4 heads for 3 GPUs"),
        (
            "2 validation errors",
            "max_num_seqs\n",
            "Input should be 1 or more",
            "max_num_seqs Input should be 1 or more",
        ),
    ],
)
def test_of_a_wrong_setting_it_says_what_is_wrong_with_it(tmp_path, count, field, wrong, said):
    (tmp_path / "log.txt").write_text(PYDANTIC.format(count=count, field=field, wrong=wrong, type="value_error"))
    assert find_cause(tmp_path / "log.txt").what.endswith(f"{count} for VllmConfig: {said}")
