"""Answers to a buyer: from measurements, specifications and prices to advice with its doubt.

``purchase``        all answers together, in the words of ``terms``
``known_figures``   who is known to do what: measured, entered, quoted; ``prediction``: a card that nobody measured
``candidates``      what may be bought or rented, with ``pricing``; ``rating`` says how fast each does a workload
``value``           most for the money; ``renting``: rent or buy; ``holding``, ``memory``: does it hold, does it fit
``cost``            formulas, as ``fitting``; ``quantity``: numbers that are not known exactly
"""
