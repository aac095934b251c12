"""Which people may be made for what. A person is a seed (see `person.Maker`)."""

HELD_OUT = range(90_000_000, 90_001_000)
"""Avatars are measured on them (`mien eval`), so `dataset.generate` refuses to make them."""
