"""The settings, a module for each subject; ``lookalike.settings`` puts them together."""
