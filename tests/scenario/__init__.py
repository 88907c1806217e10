"""The pipeline in real processes: a daemon, a code server, and workers that are killed."""
