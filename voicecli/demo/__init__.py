"""Scripted conversations: what a user says and when, and what is to come of it."""
