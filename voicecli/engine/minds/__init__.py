"""What thinks: rules, local language models, or another server."""
