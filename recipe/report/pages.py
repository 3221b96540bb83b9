"""One HTML file that needs nothing else: templates of recipe/report/page, their style and script within.

What came from a model or a corpus reaches the page in two ways. Jinja escapes it where a template prints it, and the
sentences lie in a block of JSON, with its `<`, `>` and `&` as \\u003c and the like, from where the script takes them as
text. A content security policy in the page names the one script that may run, by its hash, and forbids every request.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from recipe.core.files import whole
from recipe.evaluate.table import percent

FOLDER = Path(__file__).parent / "page"
ROOM = 4_000_000  # bytes of JSON in a page, which leaves a million for charts, tables, style and script
CUTS = (None, 4000, 2000, 1000, 500)  # characters kept of a model's text, the first for which a page has room
HUES = 8  # colours of entity types in style.css


def render(template: str, data: object, **values: object) -> str:
    """The page of a template, with `data` as the JSON that its script reads: page.js, then the template's own."""
    from markupsafe import Markup

    script = "".join(
        (FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", template.replace(".html", ".js"))
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(values, data=as_json(data), script=Markup(script), script_hash=f"sha256-{digest}")
    )


@functools.cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "count": "{:,}".format, "decimal": "{:.1f}".format, "wrap": breakable}
    return environment


def breakable(text: str):
    """A path or digest with places at which a line may end, so that it fits a narrow screen."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[/_.-])", text))


def as_json(value: object):
    """JSON for a script element; lone surrogates, which no file can hold, become question marks."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(value, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, limit: int | None, where: str) -> str:
    """The first `limit` characters of a text (None: all), with a note of how many more `where` has."""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]} … [{len(text) - limit:,} more characters in {where}]"


def fit(build: Callable[[int, int | None], object], size: int, least: int) -> tuple[object, int, int | None]:
    """A page's data, how many items it has, and the limit at which its texts are cut.

    `build(size, limit)` makes the data. First the limits of CUTS are tried, then half as many items, down to `least`,
    until there is room.
    """
    while True:
        for limit in CUTS:
            data = build(size, limit)
            if len(as_json(data).encode("utf-8", "replace")) <= ROOM:
                return data, size, limit
        if size <= least:
            return data, size, limit
        size = max(least, size // 2)


def slots(types: Iterable[str]) -> dict[str, int]:
    """A colour for each type, 0 to HUES - 1; the types that come first get colours of their own."""
    return {label: number % HUES for number, label in enumerate(dict.fromkeys(types))}


def write(path: Path, page: str) -> int:
    """Write a page, whole or not at all, and return its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as work:
        return work.write_bytes(page.encode("utf-8", "replace"))
