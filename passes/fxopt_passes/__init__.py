"""The built-in rewrites, one folder a family."""
