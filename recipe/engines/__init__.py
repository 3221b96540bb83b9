"""verl's training engines as this recipe runs them, on CPUs and on GPUs."""
