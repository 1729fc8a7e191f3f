"""Makes what ships with maquette: the tiny pack, the bundled styles and the example sketches.

Nothing that serves a render imports this package.
"""
