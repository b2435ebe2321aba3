"""What requests, responses and errors of LiteLLM say."""
