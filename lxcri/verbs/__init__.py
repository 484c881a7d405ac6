"""One module per verb, each with a function `run(ctx, **options) -> int` that returns the exit status."""
