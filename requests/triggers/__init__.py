"""The database's side of the first and the fifth promise."""
