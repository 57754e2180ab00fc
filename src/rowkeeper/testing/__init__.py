"""What a connector of anybody's can be tested with: the promises of this house, as tests to inherit from.

    class TestMySource(SourceConformance):
        @pytest.fixture
        def rig(self, tmp_path):
            return MyRig(tmp_path)

running.py        commands in processes of their own, killed at failpoints
points.py         which failpoints those are
cutting.py        a proxy on loopback that cuts connections, or lets them trickle
sources.py        SourceConformance: what every source must keep
destinations.py   DestinationConformance: what every destination must keep
loading.py        the pipelines that it runs, and what is left behind by them
"""

from rowkeeper.testing.cutting import Cutter
from rowkeeper.testing.destinations import DestinationConformance
from rowkeeper.testing.loading import DestinationRig
from rowkeeper.testing.running import Ended, Processes, Runner
from rowkeeper.testing.sources import Fault, SourceConformance, SourceRig

__all__ = [
    "Cutter",
    "DestinationConformance",
    "DestinationRig",
    "Ended",
    "Fault",
    "Processes",
    "Runner",
    "SourceConformance",
    "SourceRig",
]
