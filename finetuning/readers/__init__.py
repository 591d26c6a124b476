"""A reader for each benchmark: its native files, or its data set on the Hub, as plain rows."""
