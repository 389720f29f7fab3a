"""Whether a cluster can be asked at all: Dask is an extra."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lottery_core.spec.checks import InvalidValue

if TYPE_CHECKING:
    from lottery_core.running.cluster.crew import ClusterCrew

SCHEDULER = "LOTTERY_SCHEDULER"


def cluster_crew(
    address: str,
    *,
    is_shared: bool = False,
    tls_ca_file: str = "",
    tls_cert: str = "",
    tls_key: str = "",
) -> ClusterCrew:
    """The workers of the scheduler at an address such as tcp://HOST:8786, not reached yet. The
    three files are those of Dask's TLS; where none is named, Dask's own configuration holds.
    Raises `InvalidValue` where Dask is not installed."""
    try:
        from distributed import Security

        from lottery_core.running.cluster.crew import ClusterCrew
    except ImportError as error:
        rule = "needs Dask, which is not installed: pip install '.[cluster]'"
        raise InvalidValue("scheduler", address, rule) from error
    security = None
    if tls_ca_file or tls_cert or tls_key:
        security = Security(
            tls_ca_file=tls_ca_file,
            tls_client_cert=tls_cert,
            tls_client_key=tls_key,
            require_encryption=True,
        )
    return ClusterCrew(address, is_shared=is_shared, security=security)


def asked_scheduler() -> str:
    """The address in `LOTTERY_SCHEDULER`, empty without one."""
    return os.environ.get(SCHEDULER, "").strip()
