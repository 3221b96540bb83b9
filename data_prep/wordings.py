"""What prompts about one type say of it: its description and worked examples, by dataset.

wordings = choose_wordings(datasets, reading, seed=42)
wordings.templates["bc5cdr"]["disease"]     # the template of that type's questions, {{SENTENCE}} still open
wordings.shown                              # keys of the sentences that are shown, which no question may be about
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.sources import check_files
from recipe.answers.queries import Wordings, template_for, worked_examples
from recipe.answers.type_descriptions import describe
from recipe.corpora import Reading
from recipe.corpora import datasets as corpora

# Characters of a worked example. A prompt shows two; a type with fewer than two short ones gets longer ones.
SHORT, LONGEST = 120, 400
KEPT_OUT = "worked_example"


def choose_wordings(
    datasets: Sequence[corpora.Dataset], reading: Reading, seed: int, template: str | None, answer_format: str
) -> Wordings:
    """Worked examples come from a dataset's dev split, or from train where it has none; the seed draws them.

    A dataset's own file describes its types where it can.
    """
    templates, kept_out = {}, set()
    for dataset in datasets:
        split = "dev" if dataset.file("dev").is_file() else "train"
        if not dataset.file(split).is_file():
            continue
        check_files([dataset], split)
        examples = list(corpora.read_dataset(dataset, split, reading))
        short, long = (worked_examples(examples, seed, 2, longest, answer_format) for longest in (SHORT, LONGEST))
        worked = long | {label: shown for label, shown in short.items() if len(shown) == len(long[label])}
        own = corpora.read_descriptions(dataset, split)
        templates[dataset.name] = {
            label: template_for(label, own.get(label) or describe(label, dataset.name), shown, template, answer_format)
            for label, shown in worked.items()
        }
        kept_out |= {example.sentence for shown in worked.values() for example in shown}
    return Wordings(templates, frozenset(kept_out))
