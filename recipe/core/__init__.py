"""What everything uses: entities, matching, alignment, sampling, files, commands. The standard library alone."""
