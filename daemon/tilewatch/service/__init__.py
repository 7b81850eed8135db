"""`serve`: the long-running service around the pipeline: jobs, workers, health, settings that change."""
