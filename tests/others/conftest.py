"""What these tests share: LiteLLM, and nothing left patched."""

from __future__ import annotations

from support.fixtures import litellm, nothing_left_patched

__all__ = ["litellm", "nothing_left_patched"]
