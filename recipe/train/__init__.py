"""Check a run, run it, keep its records (python -m recipe.train)."""
