"""What runs, and how.

library.py      a choice from Python, in this process; bar.py: how far it is
engine.py       the procedure: train, prune, restart, train again
queue.py        submit, watch, cancel; parts.py: what jobs are made of; graph.py: what is ready
crew.py         the processes that train; worker.py: what one does; cluster/: other machines
progress.py     what can be seen of a level while it trains
time_left.py    how long a training will take; forecast.py: when each job of a queue ends
upkeep.py       runs that go with what only they use; a limit for the cache
many.py         many experiments through a queue that holds few
fair.py         whose turn it is; workers.py: how many train at once
measurement.py  how fast this machine is with an experiment's levels
instability.py  what another order of the data does to where they end
barriers.py     what lies between a ticket and other networks of its mask
"""
