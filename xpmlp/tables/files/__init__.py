"""Files of tables: how they are packed, encoded and laid out, and their rows in DuckDB."""
