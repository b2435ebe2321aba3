"""The ``trace-core`` command."""
