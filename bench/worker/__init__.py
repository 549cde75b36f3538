"""The worker package, all that runs in the measured process: it reads a job, measures, and answers on its own pipe.

It runs in the interpreter of a build, without the packages of the parent: only with the standard library, NumPy and the
framework, with relative imports, and with the syntax of Python 3.6.
"""
