"""A verl checkpoint becomes a Hugging Face folder (python -m recipe.merge)."""
