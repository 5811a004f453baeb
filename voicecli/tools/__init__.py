"""The functions that the model may call."""
