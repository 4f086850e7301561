"""Sounds in, labelled and captioned soundscapes out."""
