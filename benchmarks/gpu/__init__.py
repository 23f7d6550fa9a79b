"""The fit of the target `gpu` to published latencies: what models run there, and the coefficients that follow."""
