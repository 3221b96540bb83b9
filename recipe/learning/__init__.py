"""What GRPO is worth beside SFT of the same time and of the same rows: launch/learning.sh's cells, over seeds."""
