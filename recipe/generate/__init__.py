"""Completions of a model folder with vLLM."""
