"""The parser of commands, which says what may be meant by a word that it does not know."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from trace_core._suggest import did_you_mean

_CHOICE: Final = re.compile(r"invalid choice: '(.*?)'.*?\(choose from (.*)\)", re.DOTALL)
_REQUIRED: Final = "the following arguments are required: "
_NO_NUMBER: Final = re.compile(r"invalid (float|int) value: (.*)", re.DOTALL)
_OPTION: Final = re.compile(r"(?<![\w-])--[\w-]+")
_MISTAKE: Final = 2
_WIDEST: Final = 100
"""Characters of a line of help: longer ones are hard to read."""


class HelpFormatter(argparse.HelpFormatter):
    """Fits help to the terminal."""

    def __init__(self, prog: str) -> None:
        room = shutil.get_terminal_size().columns - 2
        super().__init__(prog, max_help_position=28, width=min(_WIDEST, room))


class RawHelpFormatter(HelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The same, with the lines of description and epilog as they are."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints say what may be meant. Its subparsers are such parsers too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", HelpFormatter)
        super().__init__(*args, **kwargs)
        self.set_defaults(parser=self)

    def parse(self, args: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse arguments; the command that does not know one of them complains, by its name.

        Args:
            args: The arguments; those of this process by default.
        """
        if not (sys.argv[1:] if args is None else args):
            self.print_help(sys.stderr)
            self.exit(_MISTAKE)
        options, unknown = self.parse_known_args(args)
        if unknown:
            parser: argparse.ArgumentParser = options.parser
            known = _OPTION.findall(parser.format_help())
            hint = did_you_mean(unknown[0].partition("=")[0], known)
            parser.error(f"unknown argument {unknown[0]!r}{hint}")
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what may be meant, in one line; end the program with status 2."""
        found = _CHOICE.search(message)
        if found is not None:
            known = [name.strip(" '") for name in found[2].split(",")]
            hint = did_you_mean(found[1], known) or f"; choose from {', '.join(known)}"
            message = f"unknown command {found[1]!r}{hint}"
        elif message == f"{_REQUIRED}COMMAND":
            message = f"no command; choose from {', '.join(self._commands())}"
        message = _NO_NUMBER.sub(_no_number, message)
        help_is = "" if message.endswith("?") else f"; see {self.prog} --help"
        self.exit(_MISTAKE, f"{self.prog}: {message}{help_is}\n")

    def _commands(self) -> list[str]:
        of_commands = (one for one in self._actions if isinstance(one.choices, dict))
        return [name for action in of_commands for name in action.choices or ()]


def _no_number(found: re.Match[str]) -> str:
    return f"{found[2]} is not a {'whole ' if found[1] == 'int' else ''}number"


def seconds(text: str) -> float:
    """Read how many seconds something may take.

    Args:
        text: What was given.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 up")
    return value
