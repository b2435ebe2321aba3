"""The report: one HTML page about recorded calls that needs no server and no network."""
