"""Numpy twins of the compiled core: slow, plain, and the definition of what is right."""
