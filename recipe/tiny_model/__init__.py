"""The small model for machines without a GPU (python -m recipe.tiny_model)."""
