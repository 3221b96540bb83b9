"""Reasoning NER on verl: the task itself (formats, scoring, corpora) and the commands around the training loops."""
