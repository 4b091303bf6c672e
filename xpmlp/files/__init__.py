"""Everything on disk: the model container, atomic writes, tables, images, built-in data sets."""
