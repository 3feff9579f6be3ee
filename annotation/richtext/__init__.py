"""Markdown, code and mathematics of strangers as inert HTML: `templatetags/richtext.py` is its only door."""
