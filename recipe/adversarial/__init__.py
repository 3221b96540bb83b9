"""What a reward pays for answers that don't deserve it (python -m recipe.adversarial)."""
