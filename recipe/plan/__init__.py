"""What an experiment will need before it is started: memory a GPU by phase, work and time a step, disk.

python -m recipe.plan grpo_qwen3_8b --gpus 8 --memory 80
"""
