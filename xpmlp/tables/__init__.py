"""From files and data frames to typed columns: tables, images, built-in data sets."""
