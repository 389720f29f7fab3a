"""A job's parts, done one after another in this process, as a worker does them."""

from lottery_core.running import worker
from lottery_core.running.parts import Outcome, Work, asked_by
from lottery_core.spec.experiment import Experiment
from lottery_core.store import Job, Store


def do(store: Store, job: Job) -> Outcome:
    """What became of the last part, or of the first that was not done."""
    outcome = Outcome("done")
    for part in asked_by(job, Experiment.from_dict(job.experiment), store.has):
        outcome = worker.perform_part(store, Work(part, job.device, job.loop))
        if outcome.state != "done":
            break
    return outcome
