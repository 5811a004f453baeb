"""What is left of a session on disk: written while it runs, read to play it again."""
