"""Tables, pictures, and statistics from result files."""
