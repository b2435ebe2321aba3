"""What people are shown of spans: messages, parameters, amounts, and HTML for notebooks."""
