"""The built-in targets, engines, frontends and planners of fxopt."""
