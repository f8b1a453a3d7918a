"""The CPU benchmark suite that `benchmarks/cpu.py` runs.

In reading order:

    cases       what is timed: a net and how it learns, or what it is asked
    data        the rows and the initial weights, the same for all
    reference   training and answers in float64, written out: what every framework is checked against
    peers/      each framework, in its own words
    accuracy    a run of `benchmarks/time_to_accuracy.py`
    worker      the process that a framework runs in: JSON lines in, JSON lines out
    frameworks  which there are, and the starting and asking of their processes
    rounds      the check, the choice of threads, the interleaved rounds
    memory      what a framework's process needs
    textbook    five epochs of the textbooks' first network, with the reading of the file
    report      tables
"""
