"""Writing to an MLflow server."""
