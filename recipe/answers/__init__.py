"""Answer formats: how a question is put to the model and how its answer is read back."""
