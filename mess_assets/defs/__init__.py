"""What Dagster loads: a folder per asset group, each asset with its checks; and what runs them."""
