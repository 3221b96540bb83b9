"""Corpora on disk: one module a layout."""
