"""Cross-validated comparison of similarity systems: benchmark data, protocols, leaderboard."""
