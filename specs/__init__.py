"""The library of specs that ships, as package data: std, blocks, models, adapters."""
