"""`fxopt bisect`: which steps of a plan make its result worse, and a small program that shows it."""
