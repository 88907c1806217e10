"""The pipeline among real processes: daemon, code server, workers that are killed."""
