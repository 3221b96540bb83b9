"""What prompts about one type say of it: its description and worked examples, by dataset.

wordings = choose_wordings(datasets, reading, seed=42)
wordings.templates["bc5cdr"]["disease"]     # the template of that type's questions, {{SENTENCE}} still open
wordings.shown                              # keys of the sentences that are shown, which no question may be about
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.sources import Reading, dataset_sources
from recipe.answers.queries import Wordings, template_for, worked_examples
from recipe.answers.type_descriptions import describe
from recipe.corpora import datasets as corpora
from recipe.corpora.mrc import read_queries

# Characters of a sentence that is shown, two of which are in every prompt: longer ones are for types that lack such.
SHORT, LONGEST = 120, 400
KEPT_OUT = "worked_example"


def choose_wordings(
    datasets: Sequence[corpora.Dataset], reading: Reading, seed: int, template: str | None, answer_format: str
) -> Wordings:
    """Worked examples are of a dataset's dev split, or of train where it has none; the seed draws them.

    A type is described as the dataset's own questions do, where it has such.
    """
    templates, kept_out = {}, set()
    for dataset in datasets:
        split = "dev" if dataset.file("dev").is_file() else "train"
        if not dataset.file(split).is_file():
            continue
        [source] = dataset_sources([dataset], split, reading)
        examples = list(source.read(None, None))
        short, long = (worked_examples(examples, seed, 2, longest, answer_format) for longest in (SHORT, LONGEST))
        worked = long | {label: shown for label, shown in short.items() if len(shown) == len(long[label])}
        own = read_queries(dataset.file(split)) if dataset.in_questions else {}
        templates[dataset.name] = {
            label: template_for(label, own.get(label) or describe(label, dataset.name), shown, template, answer_format)
            for label, shown in worked.items()
        }
        kept_out |= {example.sentence for shown in worked.values() for example in shown}
    return Wordings(templates, frozenset(kept_out))
