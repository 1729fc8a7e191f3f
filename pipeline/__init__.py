"""What a render is: the contract, the checks, the samplers and the loop.

Arrays in, arrays out. Nothing in this package opens a file, a socket or a model; the one door to
Triton is :mod:`pipeline.triton`, which only works inside a Triton Python model.
"""
