"""Text in, entities with offsets out: a model that is loaded once and asked as often as one likes.

    from recipe import predict

    with predict.load("models/grpo_qwen3_8b") as model:
        result = model("Ada Lovelace met Babbage in London .", ["person", "location"])
        for entity in result.entities:
            print(entity.type, entity.name, entity.start, entity.end)      # location London 28 34
        for result in model.many(texts, ["person", "location"]): ...       # in the texts' order, batched

The same from a shell, a record of JSON for each text:

    python -m recipe.predict models/grpo_qwen3_8b --types person,location --text "Ada Lovelace met Babbage in London ."
    {"index": 0, "sentence": "Ada Lovelace ...", "reasoning": "...", "entities": [{"type": "location", "name": "London",
     "start": 28, "end": 34}, ...], "not_in_text": [], "off_schema": [], "answers": 1, "unparsable": 0, "cut": 0}

A text is asked about as a row of the training data is, with the same tokens. One that is longer than the model has room
for is cut into windows (recipe.predict.windows). One that holds a control token, such as `<|im_end|>`, is not asked
about: its result says so in `error`. Importing this package loads nothing heavy.
"""

from recipe.predict.model import Predictor, load
from recipe.predict.questions import Settings
from recipe.predict.replies import Result

__all__ = ["Predictor", "Result", "Settings", "load"]
