//! The model edge: OpenAI-compatible chat completions, OpenAI and Azure.
