"""The built-in targets, engines, frontends, planners and metrics of fxopt."""
