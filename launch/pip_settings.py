"""pip's configuration as environment variables for uv, which does not read it.

    .venv/bin/python launch/pip_settings.py
    UV_FIND_LINKS=wheels

Prints one NAME=value a line, leaving out what the environment sets already. Called by launch/setup.sh.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

# pip's name of an option, uv's name of it, and what stands between several values.
_OPTIONS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


def read_config(listing: str) -> dict[str, str]:
    """Option -> value from `pip config list`; pip's precedence: environment, then [install], then [global]."""
    ranks = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in ranks and ranks[section] >= found.get(option, (-1, ""))[0]:
            found[option] = (ranks[section], str(ast.literal_eval(value)))
    return {option: value for option, (_, value) in found.items()}


def uv_environment(config: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to set, so that uv looks where pip would; nothing that `environment` has is overruled."""
    wanted = {}
    for option, (variable, separator) in _OPTIONS.items():
        if config.get(option, "").split():
            wanted[variable] = separator.join(config[option].split())
    if config.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        wanted["UV_NO_INDEX"] = "1"
    if "UV_INDEX" in wanted:
        # pip takes the best version of all indexes; uv by default stops at the first index that has the name.
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in wanted.items() if not environment.get(name)}


def main() -> int:
    """Print the variables; 0."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for name, value in uv_environment(read_config(listing), os.environ).items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
