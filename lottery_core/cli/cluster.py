"""Options that send trainings to a Dask cluster instead of this machine's processors."""

from __future__ import annotations

from lottery_core.cli.options import Option
from lottery_core.running.crew import Crew
from lottery_core.spec.checks import InvalidValue

CLUSTER = {
    "scheduler": Option(str, "Of a Dask cluster that trains, as in tcp://HOST:8786.", ""),
    "shared": Option(bool, "The cluster has this cache too, at the same place.", False),
    "tls_ca_file": Option(str, "For tls://: the authority's certificate, as Dask has it.", ""),
    "tls_cert": Option(str, "For tls://: this machine's certificate.", ""),
    "tls_key": Option(str, "For tls://: the key of that certificate.", ""),
}


def crew_of(workers: int, scheduler: str, shared: bool, **tls: str) -> Crew:
    """Who trains: the workers of the scheduler, which is reached now, or as many here. Raises
    `InvalidValue`."""
    if not scheduler:
        for name, value in {"shared": shared or "", **tls}.items():
            if value:
                raise InvalidValue(name, value, "belongs to --scheduler; name that too")
        return Crew(workers)
    from lottery_core.running.cluster.start import cluster_crew

    crew = cluster_crew(scheduler, is_shared=shared, **tls)
    crew.connect()
    return crew
