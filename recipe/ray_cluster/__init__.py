"""The nodes of a run (python -m recipe.ray_cluster)."""
