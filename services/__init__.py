"""One package a process; they never import each other."""
