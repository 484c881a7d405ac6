"""Coverage-guided fuzzing: see __main__.py."""
