"""Foreign code in processes of its own, which can be limited and killed: engines (`fxopt.measure`), outside passes."""
