"""The recordings in a folder: found, listed, renamed, deleted."""
