"""Whether the targets mean what they say: sweeps, beats, ratings, and a report of all."""
