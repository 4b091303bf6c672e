"""Tables: from files and data frames to typed columns; images; built-in data sets."""
