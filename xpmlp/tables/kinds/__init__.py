"""Kinds of columns: how numbers, dates, times and words are written, decided over all rows."""
