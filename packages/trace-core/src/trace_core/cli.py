"""The commands that look at spans and after them, for other packages' commands to offer too."""

from trace_core._cli.main import add_commands, run

__all__ = ["add_commands", "run"]
