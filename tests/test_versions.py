"""recipe.core.versions."""

from importlib.metadata import version

from recipe.core.versions import installed


def test_what_is_not_installed_is_left_out():
    found = installed("pytest", "no-such-package", "verl")
    assert found == {"pytest": version("pytest"), "verl": version("verl")}
    assert list(found) == ["pytest", "verl"]
