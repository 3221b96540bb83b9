"""Model folders and checkpoints: chat template, frame, lengths, shards, adapters, card."""
