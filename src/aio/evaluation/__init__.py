"""Measures methods on images: what to measure, by whom, row by row on disk, and the report of it all."""
