"""What a study is made of: its corpus, its runs, what they show."""
