"""Model folders and checkpoints: chat template, lengths, shards, adapters, card."""
