"""Model card and push."""
