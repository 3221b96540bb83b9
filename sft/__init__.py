"""What verl's FSDP SFT trainer needs from this project: a dataset that keeps the reasoning, and an entry point."""
