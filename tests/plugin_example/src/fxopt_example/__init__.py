"""A plugin of fxopt with one of each: an exact and an approximate pass, a target, an engine and a listener."""
