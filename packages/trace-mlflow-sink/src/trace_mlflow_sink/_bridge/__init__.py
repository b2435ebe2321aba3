"""Nesting with MLflow's own tracing."""
