"""Scores of a model on evaluation rows (python -m recipe.evaluate)."""
