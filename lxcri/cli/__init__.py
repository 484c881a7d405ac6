"""The command line: its definition (commands), a fast parser (fast), click's texts for people (click_app)."""
