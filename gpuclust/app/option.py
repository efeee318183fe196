"""An option of a data set: how its value is parsed, and how the command line and a Python program give it."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any

#: Largest whole number of an option: levels of a tree, and sizes of clusters, are numbers of at most 31 bits.
MOST = 2**31 - 1
#: Characters of a wrong value that a message shows.
_SHOWN = 80


@dataclass(frozen=True)
class Option:
    """Properties of an option, in addition to its name, type and default, which are those of the field.

    Attributes
    ----------
    parse : callable
        The value, from a cell of a manifest, a value of TOML or of Python, or text of the command line; `ValueError`
        that says what it must be.
    help : str
        For the command line.
    shown : type
        What the command line takes.
    short : str
        Short form for the command line.
    metavar, panel : str or None
        Placeholder and heading in the help.
    call, argument : str
        The function that takes it (`read_points`, `linkage` or `fcluster`) under this name; "" if it is passed in
        another way.
    """

    parse: Callable[[Any], Any]
    help: str
    shown: type = str
    short: str = ""
    metavar: str | None = None
    panel: str | None = None
    call: str = ""
    argument: str = ""

    def declared(self, name: str, default: Any) -> inspect.Parameter:
        """The parameter of a command, for typer. Without a default it is None, which is not shown."""
        import typer

        flag = name.replace("_", "-")
        two_sided = self.shown is bool and default is None
        flags = [f"--{flag}/--no-{flag}" if two_sided else f"--{flag}", *([self.short] if self.short else [])]
        made = typer.Option(
            *flags, help=self.help, metavar=self.metavar, rich_help_panel=self.panel, show_default=not two_sided
        )
        if isinstance(default, tuple):
            default = ",".join(default) or None
        kind = self.shown if default is not None else self.shown | None
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made]
        )

    def flags(self, name: str, value: Any) -> list[str]:
        """The arguments on the command line that set a value."""
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            return [f"--{'' if value else 'no-'}{flag}"]
        return [f"--{flag}", ",".join(map(_written, value)) if isinstance(value, tuple) else _written(value)]


def option(default: Any, parse: Callable[[Any], Any], help: str, **known: Any) -> Any:
    """A field of a dataclass that is an option."""
    return field(default=default, metadata={"option": Option(parse, help, **known)})


def takes(chosen: dict[str, tuple[Option, Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options (and their defaults): typer sees them in place of its ``**options``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        positional = [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]
        keywords = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY]
        made = [known.declared(name, default) for name, (known, default) in chosen.items()]

        @wraps(command)
        def wrapper(*arguments: Any, **given: Any) -> Any:
            return command(*arguments, **given)

        parameters = [*positional, *made, *keywords]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapper

    return decorate


def shortened(value: Any) -> str:
    """A value as a message shows it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; deeply nested lists
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _written(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)


# --------------------------------------------------------------------------------------------------------- parsers


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("must be text without NUL characters")
    return value.strip()


def number(value: Any, infinite: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a number") from None
    if not math.isfinite(found) and not infinite:
        raise ValueError("must be a finite number")
    return found


def thresholds(value: Any) -> float | tuple[float, ...]:
    """A number, or several: a list, or text with ``,``, ``;`` or blanks between."""
    if isinstance(value, str) and re.search(r"[;,\s]", value.strip()):
        value = _parts(value, r"\s*[;,]\s*|\s+")
    if not isinstance(value, (list, tuple)):
        return number(value)
    found = tuple(number(part) for part in value)
    if not found or len(set(found)) < len(found):
        raise ValueError("must be a number, or several different ones")
    return found if len(found) > 1 else found[0]


def some_of(*names: str) -> Callable[[Any], tuple[str, ...]]:
    """A parser of one or several of these names: a list, or text with ``,`` or ``;`` between."""
    one = one_of(*names)

    def parse(value: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one(part) for part in _parts(value, r"\s*[;,]\s*")))

    return parse


def exponent(value: Any) -> float:
    return number(value, infinite=True)


def whole(value: Any) -> int:
    found = number(value)
    if found != int(found) or abs(found) > MOST:
        raise ValueError(f"must be a whole number of at most {MOST:,}")
    return int(found)


def flag(value: Any) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = value if isinstance(value, bool) else known.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def one_of(*names: str) -> Callable[[Any], str]:
    """A parser of text that is one of these, in lower case."""

    def parse(value: Any) -> str:
        found = value.strip().lower() if isinstance(value, str) else value
        if found not in names:
            raise ValueError(f"must be {', '.join(names[:-1])} or {names[-1]}")
        return str(found)

    return parse


def columns(value: Any) -> tuple[str | int, ...]:
    """Names, or numbers from 0: a list, or text with ``,`` or ``;`` between; a number may be a name, too."""
    parts = [value] if isinstance(value, int) and not isinstance(value, bool) else _parts(value, r"[;,]")
    if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
        raise ValueError("must be names, or numbers from 0")
    return tuple(parts)


def column(value: Any) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return text(value)


def weights(value: Any) -> tuple[float, ...]:
    """Numbers: a list, or text with ``,``, ``;`` or blanks between."""
    try:
        return tuple(number(part) for part in _parts(value, r"\s*[;,]\s*|\s+"))
    except ValueError:
        raise ValueError("must be finite numbers, like 1,1,0.5") from None


def _parts(value: Any, between: str) -> list[Any]:
    if isinstance(value, str):
        value = [part.strip() for part in re.split(between, value.strip())]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list")
    return list(value)
