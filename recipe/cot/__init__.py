"""Chain-of-thought generation: from raw text to a NER-CoT dataset, in checked steps (ReasoningNER, stage CG).

    python -m recipe.cot annotate --input texts.jsonl --teacher endpoint --model NAME --work cot/
    python -m recipe.cot validate --work cot/
    python -m recipe.cot judge --teacher endpoint --model NAME --work cot/
    python -m recipe.cot export --work cot/ --out data/cot
    python -m recipe.cot stats --work cot/

Each step reads the file of the step before and appends to its own, in the folder --work, a line for each row
(recipe.cot.store). No line is ever changed; a row that is rejected stays in its step's file with the reason.
"""
