"""What calls look like in MLflow's chat view and list."""

from __future__ import annotations

import pytest

from trace_mlflow_sink import _messages

TOOL = {"name": "get_weather", "description": "Weather", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ({"messages": ()}, {"choices": ({"message": {"role": "assistant"}},)}, "openai"),
        ({"messages": ()}, None, "openai"),
        ({"input": "hi"}, {"output": ()}, "openai"),
        ({"messages": ()}, {"type": "message", "content": ()}, "anthropic"),
        ({"messages": (), "tools": ({"name": "f", "input_schema": {}},)}, None, "anthropic"),
        ({"contents": ()}, {"candidates": ()}, "gemini"),
        ({"prompt": "hi"}, {"choices": ({"text": "ho"},)}, None),
        ("hi", None, None),
        (None, None, None),
    ],
)
def test_message_format_follows_the_shape(inputs, outputs, expected):
    """Chat, Responses, Anthropic and Gemini calls are told apart; text completion is no chat."""
    assert _messages.message_format(inputs, outputs) == expected


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": TOOL},
        {"type": "function", **TOOL},
        {"name": "get_weather", "description": "Weather", "input_schema": {"type": "object"}},
    ],
    ids=["chat", "responses", "anthropic"],
)
def test_tools_of_every_api_get_one_shape(tool):
    """Tools of the chat, Responses and Anthropic APIs are shown alike."""
    assert _messages.chat_tools({"tools": (tool,)}) == [{"type": "function", "function": TOOL}]


@pytest.mark.parametrize("tools", [None, "x", ({"type": "web_search"},), (1,)])
def test_what_is_no_function_is_no_tool(tools):
    """A provider's built-in tool has no function to show, and nonsense is no tool."""
    assert _messages.chat_tools({"tools": tools}) == []


def _answer(**message: object) -> dict[str, object]:
    return {"choices": ({"message": {"role": "assistant", **message}},)}


def test_an_answer_of_tool_calls_gets_a_readable_preview():
    """The list shows the calls, not raw JSON."""
    call = {"function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    outputs = _answer(content=None, tool_calls=(call, call))
    assert _messages.preview(outputs, "assistant") == "\n".join(
        ['get_weather({"city": "Paris"})'] * 2
    )


@pytest.mark.parametrize(
    ("value", "role", "expected"),
    [
        (
            {"messages": ({"role": "user", "content": "a"}, {"role": "tool", "content": "b"})},
            "user",
            "a",
        ),
        (
            {"messages": ({"role": "user", "content": ({"type": "text", "text": "a"},)},)},
            "user",
            "a",
        ),
        (_answer(content="hello"), "assistant", "hello"),
        ({"q": 1}, "user", '{"q":1}'),
        ("plain", "user", '"plain"'),
        (None, "user", None),
    ],
)
def test_previews_show_what_was_said(value, role, expected):
    """The last thing of the role, else JSON."""
    assert _messages.preview(value, role) == expected


def test_previews_are_short():
    """A preview fits the list."""
    assert len(_messages.preview(_answer(content="x" * 5000), "assistant") or "") == 1000


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, (3, 2, 5)),
        ({"input_tokens": 3, "output_tokens": 2}, (3, 2, 5)),
        ({"prompt_tokens": None}, None),
        (None, None),
    ],
)
def test_usage_is_read_off_a_response(usage, expected):
    """Both spellings of token counts are understood, and missing ones stay missing."""
    told = _messages.told_usage({"usage": usage})
    assert (tuple(told.values()) if told else None) == expected
