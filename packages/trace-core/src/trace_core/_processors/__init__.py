"""Functions from a span to a span, or to nothing."""
