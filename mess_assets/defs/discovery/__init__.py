"""Layer discovery, and the search aspects derived from it."""
