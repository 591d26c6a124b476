"""Files become clean lines."""
