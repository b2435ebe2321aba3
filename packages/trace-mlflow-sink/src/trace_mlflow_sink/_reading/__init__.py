"""Reads traces back from MLflow, as the spans that they were written from."""
