"""The commands that look at spans and after them, for other packages' commands to offer too."""

from trace_core._cli.main import add_commands, run
from trace_core._cli.parser import HelpFormatter, Parser, RawHelpFormatter

__all__ = ["HelpFormatter", "Parser", "RawHelpFormatter", "add_commands", "run"]
