"""A page that answers in a browser: `writing.py` puts a folder together of the files beside it and of npm packages."""
