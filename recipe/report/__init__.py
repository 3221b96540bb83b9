"""Pages that a browser opens without any network: of an evaluation (python -m recipe.report) and of a run's answers."""
