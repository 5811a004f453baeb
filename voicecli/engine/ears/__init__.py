"""Speech to text, and whether a speaker is through."""
