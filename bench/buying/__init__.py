"""Advice for buyers: from measurements, specifications and prices to answers with their uncertainty.

``purchase``        all answers together, in the classes of ``terms``
``known_figures``   known throughputs: measured, entered, quoted; ``prediction``: GPUs that nobody has measured
``candidates``      what can be bought or rented, with ``pricing``; ``rating``: throughput of each for a workload
``value``           performance per price; ``renting``: rent or buy; ``holding``: power, space, heat; ``memory``
``cost``            formulas, as in ``fitting``; ``quantity``: numbers with uncertainty
"""
