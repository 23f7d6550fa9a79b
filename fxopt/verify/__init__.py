"""Verification: each rewrite on its region, the whole Program once, and the artifact that ships."""
