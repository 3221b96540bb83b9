"""Data preparation: corpora in, Parquet files in verl's columns out."""
