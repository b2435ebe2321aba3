"""A span as MLflow stores it."""
