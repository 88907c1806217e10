"""One module per group of assets; each asset reads, calls one `mess_core` function, reports."""
