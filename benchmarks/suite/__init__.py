"""The benchmark suite that `benchmarks/cpu.py` and `benchmarks/gpu.py` run.

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
    machine     what the figures depend on, beside the code

and for the GPU alone

    contestants  who takes part, in which case, and what xpnn is to reach beside them
    gpu_rounds   check, warm-up and rounds, within a time limit
    gpu_starts   the start of a process, and the time to 98 %
    gpu_report   tables
"""
