"""Reward functions that verl loads by name: `reward.custom_reward_function.path=pkg://reward_fns.ner`."""
