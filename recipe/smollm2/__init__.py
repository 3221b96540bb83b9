"""SmolLM2-135M-Instruct as a model folder, made of a Python package: a real language model without a hub."""
