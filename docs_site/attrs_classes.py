"""Gives attrs classes in the API pages the constructor that attrs writes for them."""

from __future__ import annotations

from typing import Any

from griffe import Attribute, Class, Extension, Function, Parameter, ParameterKind, Parameters

_DECORATORS = ("define", "frozen")
_WITH_DEFAULT = ("default=", "factory=", "converter=default_if_none")


class AttrsExtension(Extension):
    """Adds ``__init__`` to classes that `attrs.define` or `attrs.frozen` decorates."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Add the constructor to one class."""
        decorators = [d.callable_path.rpartition(".")[2] for d in cls.decorators]
        if "__init__" in cls.members or not set(decorators) & {*_DECORATORS}:
            return
        keywords = any("kw_only=True" in str(d.value) for d in cls.decorators)
        init = Function("__init__", parameters=Parameters(*_parameters(cls, keywords=keywords)))
        init.parent = cls
        cls.set_member("__init__", init)


def _parameters(cls: Class, *, keywords: bool) -> list[Parameter]:
    kind = ParameterKind.keyword_only if keywords else ParameterKind.positional_or_keyword
    self = Parameter("self", kind=ParameterKind.positional_or_keyword)
    return [self, *(found for m in cls.members.values() if (found := _parameter(m, kind)))]


def _parameter(member: Any, kind: ParameterKind) -> Parameter | None:
    """Return the parameter that sets a field; ``None`` for what is no field of the constructor."""
    if not isinstance(member, Attribute) or member.annotation is None:
        return None
    annotation, value = str(member.annotation), "" if member.value is None else str(member.value)
    if annotation.startswith("ClassVar") or "init=False" in value:
        return None
    if "kw_only=True" in value:
        kind = ParameterKind.keyword_only
    is_field = value.startswith(("field(", "attrs.field(", "attr.field("))
    default = value if not is_field else "..." if any(w in value for w in _WITH_DEFAULT) else None
    name = member.name.lstrip("_")
    return Parameter(name, annotation=member.annotation, kind=kind, default=default or None)
