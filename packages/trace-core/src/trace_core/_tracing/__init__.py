"""The tracer: opens spans, keeps the current one, hands finished ones to a sink."""
