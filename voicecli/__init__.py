"""A terminal voice assistant for servers that speak OpenAI's Realtime API."""

__version__ = "0.1.0"
