"""The measured half of a trial: reads a job, measures, answers on its own pipe.

It runs in the interpreter of a build, without the parent's packages: standard library, NumPy, the framework, relative
imports, Python 3.6.
"""
