"""
Control groups: where they are (layout), what a spec wants of them (resources, devices), and their files (fs).

Nothing is imported here: `state`, `kill` and `delete` need fs alone.
"""

UNIFIED = ""
"""The key of cgroup2 beside those of v1: the name of a controller, or "name=..." of a hierarchy without."""
