"""Whether flash-attn 2, which verl's `flash_attention_2` means, can be used by this Python."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION, INTERFACE = "flash-attn", "flash_attn.flash_attn_interface"


def missing() -> str:
    """Why flash-attn 2 can't be used; empty if it can.

    Its distribution must be there and its interface must load: flash-attn 4 puts a folder `flash_attn` in the same
    place, and a build for another PyTorch fails only when it is imported.
    """
    try:
        found = version(DISTRIBUTION)
    except PackageNotFoundError:
        return "flash-attn is not installed"
    try:
        import_module(INTERFACE)
    except (ImportError, OSError) as error:  # OSError: a library of CUDA's that isn't there
        return f"flash-attn {found} can't be imported ({' '.join(str(error).split())[:120]})"
    return ""
