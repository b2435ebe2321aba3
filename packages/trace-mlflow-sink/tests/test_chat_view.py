"""What calls look like in MLflow's chat view and list."""

from __future__ import annotations

import pytest

from trace_mlflow_sink._mapping import chat_view

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
    assert chat_view.message_format(inputs, outputs) == expected


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
    assert chat_view.chat_tools({"tools": (tool,)}) == [{"type": "function", "function": TOOL}]


@pytest.mark.parametrize("tools", [None, "x", ({"type": "web_search"},), (1,)])
def test_what_is_no_function_is_no_tool(tools):
    """A provider's built-in tool has no function to show, and nonsense is no tool."""
    assert chat_view.chat_tools({"tools": tools}) == []


def _answer(**message: object) -> dict[str, object]:
    return {"choices": ({"message": {"role": "assistant", **message}},)}


CUT = {"kind": "image/png", "length": 5000, "sha256": "abc"}
SAID = {"type": "text", "text": "<image/png: 5000 characters, sha256 abc>"}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": CUT, "detail": "low"}},
        {"type": "input_image", "image_url": CUT},
        {"type": "input_audio", "input_audio": {"data": CUT, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "data": CUT}},
    ],
    ids=["chat", "responses", "audio", "anthropic"],
)
@pytest.mark.parametrize("key", ["messages", "input"])
def test_what_was_cut_out_is_told_in_words(key, part):
    """MLflow shows no message of a conversation in which it does not know one part."""
    asked = {"type": "text", "text": "What is this?"}
    inputs = {"model": "m", key: ({"role": "user", "content": (asked, part)}, "plain")}
    told = {"role": "user", "content": (asked, SAID)}
    assert chat_view.shown(inputs) == {"model": "m", key: (told, "plain")}
    assert inputs[key][0]["content"][1] is part, "what others read is not changed"


def test_what_a_model_thought_has_mlflows_name_as_well():
    """Beside LiteLLM's own, by which programs find it."""
    outputs = _answer(content="Paris.", reasoning_content="Hm.")
    (choice,) = chat_view.shown(outputs)["choices"]
    assert choice["message"]["reasoning_content"] == choice["message"]["reasoning"] == "Hm."


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {"messages": ({"role": "user", "content": "hi"},)},
        {"messages": ({"role": "user", "content": (SAID, "x")},), "input": "hi"},
        {"choices": ({"message": None}, {"text": "x"}, 1)},
        _answer(content="x", reasoning_content=None),
        {"messages": 1},
    ],
)
def test_what_mlflow_can_show_is_left_alone(value):
    """The very same object, so it costs a look."""
    assert chat_view.shown(value) is value


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
    told = chat_view.usage_in({"usage": usage})
    assert (tuple(told.values()) if told else None) == expected
