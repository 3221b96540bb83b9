"""The small model that stands in where there is no GPU (python -m recipe.tiny_model)."""
