"""The table that an evaluation prints."""

from recipe.evaluate.left_out import in_words, of_sentences
from recipe.evaluate.saved import scoring_in
from recipe.evaluate.verdict import NAMES


def table(scores: dict, drop_else: bool = True) -> str:
    """What `scores.score` returns, for people: percentages, one dataset a line, and below what went wrong."""
    datasets = scores["datasets"]
    width = max(len(name) for name in (*datasets, "macro average"))
    unit = "tokens" if any("reasoning_tokens" in d for d in datasets.values()) else "words"
    sentences = {name: of_sentences(d) for name, d in datasets.items()}
    size = max(6, *map(len, sentences.values()))
    scoring = scoring_in(scores)
    if scoring is NAMES:
        lines = _of_names(scores, sentences, width, size, unit)
        lines.append(f"residual types (else, misc, other, ...) are {'dropped' if drop_else else 'kept'}")
    else:
        lines = _by_rule(scores, sentences, width, size, unit)
        if "strict" not in scoring.rules:
            lines.append(
                "the rows' answers say no entity types: boundary alone, which isn't to be put beside strict figures"
            )
    lines += _left_out_lines(scores)
    kinds = [kind for kind in scoring.kinds if any(d["errors"][kind] for d in datasets.values())]
    if kinds:
        columns = [max(len(kind), 6) for kind in kinds]
        head = "  ".join(f"{kind:>{size}}" for kind, size in zip(kinds, columns, strict=True))
        lines += ["", f"{'errors':{width}}  {head}"]
        for name, d in datasets.items():
            cells = (f"{d['errors'][kind]:>{size}}" for kind, size in zip(kinds, columns, strict=True))
            lines.append(f"{name:{width}}  {'  '.join(cells)}")
    return "\n".join(lines)


def _by_rule(scores: dict, sentences: dict[str, str], width: int, size: int, unit: str) -> list[str]:
    """A line a dataset and rule: precision, recall, F1 and its interval."""
    rules, macro = list(scores["macro"]), _macro(scores)
    wide = max(map(len, rules))
    lines = [
        f"{'dataset':{width}} {'rows':>{size}} | {'rule':{wide}} | {_cells('P', 'R', 'F1')} {'95 %':^11} | "
        f"unparsable % | reasoning {unit}: mean, 95th"
    ]
    pooled = {"all, pooled": scores["micro"], "macro average": macro}
    rows = str(sum(d["sentences"] for d in scores["datasets"].values()))
    for name, d in {**scores["datasets"], **pooled}.items():
        for number, rule in enumerate(rules):
            told = f"{name:{width}} {sentences.get(name, rows):>{size}}" if number == 0 else " " * (width + 1 + size)
            f = d[rule]
            figures = _prf(f) if "precision" in f else _cells("", "", _f1(f))
            line = f"{told} | {rule:{wide}} | {figures} {_interval(f)} |"
            if number == 0 and "unparsable" in d:
                lengths = f"{d[f'reasoning_{unit}']:.1f}, {d[f'reasoning_{unit}_p95']:.0f}"
                line += f" {percent(d['unparsable']):>12} | {lengths}"
            lines.append(line)
    return lines


def _of_names(scores: dict, sentences: dict[str, str], width: int, size: int, unit: str) -> list[str]:
    """A line a dataset, with the five rules of names."""
    datasets = scores["datasets"]
    lines = [
        f"{'':{width}} {'':>{size}} | {'published':^18} | {'strict':^20} | {'span':^18} | {'partial':>7} {'type':>6} | "
        f"unpars- | reasoning {unit}",
        f"{'dataset':{width}} {'rows':>{size}} | {_cells('F1')} {'95 %':^11} | {_cells('P', 'R', 'F1')} | "
        f"{_cells('F1')} {'95 %':^11} | {'F1':>7} {'F1':>6} |  able % |   mean   95th",
    ]
    for name, d in datasets.items():
        lines.append(
            f"{name:{width}} {sentences[name]:>{size}} | {_with_interval(d['published'])} | {_prf(d['strict'])} | "
            f"{_with_interval(d['span'])} | {percent(d['partial']['f1']):>7} {percent(d['type']['f1']):>6} | "
            f"{percent(d['unparsable']):>7} | {d[f'reasoning_{unit}']:>6.1f} {d[f'reasoning_{unit}_p95']:>6.0f}"
        )
    rows = sum(d["sentences"] for d in datasets.values())
    for name, figures in (("all, pooled", scores["micro"]), ("macro average", _macro(scores))):
        strict = _prf(figures["strict"]) if "precision" in figures["strict"] else _cells("", "", _f1(figures["strict"]))
        lines.append(
            f"{name:{width}} {rows:>{size}} | {_with_interval(figures['published'])} | {strict} | "
            f"{_with_interval(figures['span'])} | {_f1(figures['partial']):>7} {_f1(figures['type']):>6} | {'':>7} |"
        )
    return lines


def _left_out_lines(scores: dict) -> list[str]:
    """What the figures above are not of, and the averages that count the gold of it as missed."""
    lines = list(in_words(scores))
    whole = scores.get("macro_of_split")
    if whole is not None and any(whole[rule] != scores["macro"][rule] for rule in whole):
        figures = ", ".join(f"{rule} {percent(f1)}" for rule, f1 in whole.items())
        lines.append(f"macro average F1 with the gold left out as missed: {figures}")
    return lines


def _macro(scores: dict) -> dict[str, dict[str, float]]:
    return {
        rule: {"f1": f1, **dict(zip(("low", "high"), scores["macro_interval"][rule], strict=True))}
        for rule, f1 in scores["macro"].items()
    }


def _cells(*texts: str) -> str:
    return " ".join(f"{text:>6}" for text in texts)


def _prf(figures: dict[str, float]) -> str:
    return _cells(*(percent(figures[name]) for name in ("precision", "recall", "f1")))


def _f1(figures: dict[str, float]) -> str:
    return percent(figures["f1"])


def _with_interval(figures: dict[str, float]) -> str:
    return f"{_f1(figures):>6} {_interval(figures)}"


def _interval(figures: dict[str, float]) -> str:
    return f"{100 * figures['low']:5.1f}-{100 * figures['high']:5.1f}"


def percent(share: float) -> str:
    """0.41992 -> "41.99"."""
    return f"{100 * share:.2f}"
