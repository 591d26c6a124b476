"""What a report says of result files, and how it draws them."""
