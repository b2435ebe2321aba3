"""Whatever LiteLLM lets people call is traced, or left out here for a reason.

A release that brings a new entry point fails these tests, by the name of what is to be added to
`trace_litellm._patching.targets.TARGETS`: one line.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trace_litellm._patching.preflight import find_targets, lookup
from trace_litellm._patching.targets import TARGETS

PLACES = {place for target in TARGETS for place in target.places}
DECORATED = re.compile(r"^\s*@(\w+\.)*\w*client\s*$", re.MULTILINE)

A_CREDENTIAL = "its answer is a credential, which is not to be recorded"
MADE_HERE = "makes the functions of litellm.containers.endpoint_factory, which are traced"
NOT_BY_US = {
    "litellm.containers.endpoint_factory:create_async_endpoint_function.<locals>.async_endpoint_func": MADE_HERE,
    "litellm.containers.endpoint_factory:create_sync_endpoint_function.<locals>.endpoint_func": MADE_HERE,
    "litellm.realtime_api.main:acreate_realtime_client_secret": A_CREDENTIAL,
    "litellm.realtime_api.main:acreate_realtime_transcription_session": A_CREDENTIAL,
    "litellm.realtime_api.main:acreate_realtime_translation_client_secret": A_CREDENTIAL,
}
"""Functions under ``@client`` that are not traced."""

TRACED_BELOW = "calls functions that are traced, each a span"
A_RETRY = "a try again of a traced call, followed by the hooks in trace_litellm._calls.attempts"
SERVES = "what acompletion and aresponses themselves call"
NO_PROVIDER = "asks no provider"
NOT_BY_NAME = {
    "aadapter_completion": TRACED_BELOW,
    "aadapter_generate_content": TRACED_BELOW,
    "acompletion_with_retries": A_RETRY,
    "acreate_realtime_client_secret": A_CREDENTIAL,
    "acreate_realtime_transcription_session": A_CREDENTIAL,
    "acreate_realtime_translation_client_secret": A_CREDENTIAL,
    "ahealth_check": TRACED_BELOW,
    "ahealth_check_wildcard_models": TRACED_BELOW,
    "aresponses_api_with_mcp": SERVES,
    "aresponses_with_retries": A_RETRY,
    "async_completion_with_fallbacks": SERVES,
    "async_mock_completion_streaming_obj": NO_PROVIDER,
    "batches_async_logging": NO_PROVIDER,
    "bill_first_round_on_failure": NO_PROVIDER,
    "close_litellm_async_clients": NO_PROVIDER,
    "maybe_run_chat_completion_agentic_loop": SERVES,
    "realtime_health_check": "opens a socket and closes it",
}
"""Async functions in ``vars(litellm)`` that are not traced."""


def decorated() -> Iterator[str]:
    """Find the functions under LiteLLM's ``@client`` in its source, as ``module:qualified name``."""
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0])
    for path in root.rglob("*.py"):
        source = path.read_text(encoding="utf-8", errors="replace")
        if DECORATED.search(source):
            parts = path.relative_to(root.parent).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            yield from (f"{module}:{name}" for name in below(ast.parse(source)))


def below(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(map(is_client, node.decorator_list)):
                yield prefix + node.name
            yield from below(node, f"{prefix}{node.name}.<locals>.")
        else:
            yield from below(
                node, f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix
            )


def is_client(decorator: ast.expr) -> bool:
    name = getattr(decorator, "id", None) or getattr(decorator, "attr", "")
    return name in ("client", "wrapper_client")


def test_every_function_under_client_is_traced() -> None:
    """None is forgotten, whichever module it is in, imported or not."""
    found = set(decorated())
    assert "litellm.main:completion" in found
    assert sorted(found - PLACES - NOT_BY_US.keys()) == []


def test_every_async_function_litellm_exports_is_traced(litellm: Any) -> None:
    """What has no ``@client`` either: such as the assistants' functions, and tokens' count."""
    patched = {function for found in find_targets().found for function in found.functions}
    exported = {
        name: thing
        for name, thing in list(vars(litellm).items())
        if callable(thing) and inspect.iscoroutinefunction(thing) and not name.startswith("_")
    }
    assert "acompletion" in exported
    missing = [name for name, thing in exported.items() if not is_patched(thing, patched)]
    assert sorted(set(missing) - NOT_BY_NAME.keys()) == []


def is_patched(thing: Any, patched: set[Any]) -> bool:
    while thing is not None:
        if thing in patched:
            return True
        thing = getattr(thing, "__wrapped__", None)
    return False


def test_what_the_table_names_is_what_is_patched(litellm: Any) -> None:
    """A place in the table where something stands is of the shape that the table says."""
    found = {place for one in find_targets().found for place in one.target.places}
    there = {place for place in PLACES if lookup(place) is not None}
    assert there - found == set()


def test_no_place_is_named_twice() -> None:
    """Two targets for one function would be two spans for one call."""
    named = [place for target in TARGETS for place in target.places]
    assert len(named) == len(set(named))
