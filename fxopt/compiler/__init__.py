"""The compiler: search for rewrites, build and measure plans, admit on evidence, write what ships."""
