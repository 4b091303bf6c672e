"""A CUDA card on a CPU, for tests/cupy_standin.py and tests/cublaslt_standin.py.

It runs the kernels, the streams and the memory of a program that was written for a card, and is
stricter than one: what would corrupt memory silently raises.
"""
