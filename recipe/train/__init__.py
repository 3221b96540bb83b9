"""Check a run, run it, show it, keep its records (python -m recipe.train)."""
