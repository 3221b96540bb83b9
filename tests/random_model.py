"""A model folder with random weights, made within seconds."""

from pathlib import Path


def make_random(
    out: Path, vocab_size: int = 4096, hidden_size: int = 256, layers: int = 4, seed: int = 0, **shape
) -> Path:
    """A folder with random weights and a tokenizer of the shipped sample's text. Returns `out`."""
    from recipe.tiny_model.__main__ import SAMPLE, build_model, build_tokenizer, save, tokenizer_texts
    from recipe.tiny_model.questions import read_corpus

    tokenizer = build_tokenizer(tokenizer_texts(read_corpus(SAMPLE)), vocab_size)
    save(build_model(len(tokenizer), hidden_size, layers, seed=seed, **shape), tokenizer, out)
    return Path(out)
