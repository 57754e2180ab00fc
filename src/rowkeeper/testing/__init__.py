"""What a connector of anybody's can be tested with: the promises of this house, as tests to inherit from.

    class TestMySource(SourceConformance):
        @pytest.fixture
        def rig(self, tmp_path):
            return MyRig(tmp_path)

running.py   commands in processes of their own, killed at failpoints
cutting.py   a proxy on loopback that cuts connections, or lets them trickle
sources.py   SourceConformance: what every source must keep
"""

from rowkeeper.testing.cutting import Cutter
from rowkeeper.testing.running import Ended, Processes, Runner
from rowkeeper.testing.sources import Fault, SourceConformance, SourceRig

__all__ = ["Cutter", "Ended", "Fault", "Processes", "Runner", "SourceConformance", "SourceRig"]
