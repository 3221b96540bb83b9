"""How hard each row of a GRPO file is for a model: several sampled answers a row, scored and compared."""
