"""Published figures: micro F1 in percent by dataset, each with the label names that it was obtained on.

    of_protocol("zero_shot_7")[0]
    Published(system="GPT-4", protocol="zero_shot_7", labels="not stated", figures={"mit-movie": 60.4, ...},
              average=60.1, source="ReasoningNER (Huang et al., AAAI 2026), table 1, quoted")

A model scores otherwise on other names of the same types, so figures with different `labels` never share a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Label protocols: whose names the types of the test sets have.
INSTRUCTUIE = "InstructUIE"
OTHER = "other names"
NOT_STATED = "not stated"

# InstructUIE's type names, normalised, without the residual ones: what rows must have for the columns of that name.
INSTRUCTUIE_TYPES: Mapping[str, tuple[str, ...]] = {
    "AnatEM": ("anatomy",),
    "Broad Tweet Corpus": ("location", "organization", "person"),
    "CrossNER_AI": (
        "algorithm", "conference", "country", "field", "location", "metrics", "organization", "person", "product",
        "program language", "researcher", "task", "university",
    ),
    "CrossNER_literature": (
        "award", "book", "country", "event", "literary genre", "location", "magazine", "organization", "person", "poem",
        "writer",
    ),
    "CrossNER_music": (
        "album", "award", "band", "country", "event", "location", "music genre", "musical artist", "musical instrument",
        "organization", "person", "song",
    ),
    "CrossNER_politics": (
        "country", "election", "event", "location", "organization", "person", "political party", "politician",
    ),
    "CrossNER_science": (
        "academic journal", "astronomical object", "award", "chemical compound", "chemical element", "country",
        "discipline", "enzyme", "event", "location", "organization", "person", "protein", "scientist", "theory",
        "university",
    ),
    "GENIA_NER": ("cell line", "cell type", "dna", "protein", "rna"),
    "bc2gm": ("gene",),
    "bc5cdr": ("chemical", "disease"),
    "mit-movie": (
        "actor", "average ratings", "character", "director", "genre", "plot", "rating", "review", "song", "title",
        "trailer", "year",
    ),
    "mit-restaurant": ("amenity", "cuisine", "dish", "hours", "location", "price", "rating", "restaurant name"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Published:
    """One system under one protocol. `figures` may be empty where only the average was published, and the reverse."""

    system: str
    protocol: str
    labels: str
    figures: Mapping[str, float] = field(default_factory=dict)
    average: float | None = None  # as printed; a mean of rounded figures can be off by 0.1
    source: str = ""


_SEVEN = (
    "mit-movie", "mit-restaurant",
    "CrossNER_AI", "CrossNER_literature", "CrossNER_music", "CrossNER_politics", "CrossNER_science",
)  # fmt: skip
_REASONING = "ReasoningNER (Huang et al., AAAI 2026)"
_RECOT = "ReCoT-NER (Fu and Zhang, 2026)"


def _seven(system: str, labels: str, source: str, *figures: float) -> Published:
    """A row of a table over the seven zero-shot sets: their figures in the order of `_SEVEN`, then the average."""
    *each, average = figures
    return Published(system, "zero_shot_7", labels, dict(zip(_SEVEN, each, strict=True)), average, source)


def _average(system: str, protocol: str, average: float, source: str, labels: str = INSTRUCTUIE) -> Published:
    return Published(system, protocol, labels, {}, average, source)


PUBLISHED: tuple[Published, ...] = (
    # The same average is B2NER's (Yang et al., 2025), whose test sets have names of their own.
    _seven("GPT-4", NOT_STATED, f"{_REASONING}, table 1, quoted", 60.4, 59.7, 50.0, 55.2, 69.2, 63.4, 63.2, 60.1),
    _seven("GLiNER-L", INSTRUCTUIE, f"{_REASONING}, table 1, quoted", 57.2, 42.9, 57.2, 64.4, 69.6, 72.6, 62.6, 60.9),
    _seven(
        "GNER-T5-xxl", INSTRUCTUIE, f"{_REASONING}, table 1, quoted", 62.5, 51.0, 68.2, 68.7, 81.2, 75.1, 76.7, 69.1
    ),
    _seven("Qwen3-8B prompted", INSTRUCTUIE, f"{_REASONING}, table 1", 70.1, 57.4, 61.2, 58.0, 71.0, 71.9, 68.6, 65.4),
    _seven("ReasoningNER-1.7B", INSTRUCTUIE, f"{_REASONING}, table 1", 70.2, 52.4, 63.6, 59.1, 71.6, 68.6, 69.9, 65.1),
    _seven("ReasoningNER-8B", INSTRUCTUIE, f"{_REASONING}, table 1", 76.3, 56.8, 71.0, 69.4, 78.7, 78.8, 75.8, 72.4),
    # Quoted now and then as a better model's; it is the same model, asked for the types under other names.
    _average("ReasoningNER-8B", "zero_shot_7", 77.3, _REASONING, OTHER),
    _average("ReCoT-NER 77M", "zero_shot_7", 53.5, _RECOT),
    _average("ReCoT-NER 77M, no CoT", "zero_shot_7", 52.6, _RECOT),
    _average("ReCoT-NER 77M, plain loss", "zero_shot_7", 51.3, _RECOT),
    _average("ReCoT-NER 248M", "zero_shot_7", 59.2, _RECOT),
    _average("ReCoT-NER 783M", "zero_shot_7", 62.5, _RECOT),
    _average("ReasoningNER-8B", "supervised_20", 85.2, _REASONING),
    *(
        Published("ReasoningNER-8B", f"low_resource_conll03_{share}", INSTRUCTUIE, {"CoNLL 2003": f1}, f1, _REASONING)
        for share, f1 in ((1, 87.1), (5, 91.0), (10, 92.9))
    ),
    _average("ReasoningNER-8B", "cross_lingual_multiconer22", 48.1, _REASONING, NOT_STATED),
    _average("1.7B base", "ablation", 31.9, _REASONING),
    _average("SFT, Pile-NER", "ablation", 40.3, _REASONING),
    _average("SFT, NER-CoT, no CoT", "ablation", 60.6, _REASONING),
    _average("SFT, NER-CoT", "ablation", 63.0, _REASONING),
    _average("SFT, NER-CoT, + RE", "ablation", 65.1, _REASONING),
    *(
        Published(f"ReCoT-NER {size}", "wind_power", "the corpus' own", {"Wind-Power NER": f1}, f1, _RECOT)
        for size, f1 in (("77M", 41.7), ("248M", 50.1), ("783M", 61.3))
    ),
)


def of_protocol(name: str) -> tuple[Published, ...]:
    """The figures published under a protocol, in their order above."""
    return tuple(row for row in PUBLISHED if row.protocol == name)
