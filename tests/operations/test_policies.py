"""What `doctor` says of policies and grants."""

from __future__ import annotations

from pathlib import Path

import rowkeeper as rk
from rowkeeper.ledger.grants import Gives, NewGrant, To
from rowkeeper.operations.finding import Finding
from rowkeeper.operations.policycheck import examine_policies
from rowkeeper.schedule import Timing

PERMIT = 'permit (principal, action == Action::"run.show", resource in Pipeline::"{name}");\n'


def found(tmp_path: Path, text: str | None, *grants: NewGrant) -> list[Finding]:
    if text is not None:
        (tmp_path / "own.cedar").write_text(text)
    policies = None if text is None else tmp_path / "own.cedar"
    settings = rk.Settings(home=tmp_path / "home", key_file=tmp_path / "the.key", access_policies=policies)
    with rk.Workspace.open(settings) as workspace:
        workspace.ledger.schedules.declare("flights", "p.py", Timing("every 1h"))
        for grant in grants:
            workspace.ledger.grants.add(grant)
        return list(examine_policies(workspace))


def test_none_are_no_fault(tmp_path: Path):
    """It is told that there are none."""
    (finding,) = found(tmp_path, None)
    assert (finding.level, finding.found) == ("ok", "none are written by hand; 0 grants of actions")


def test_a_policy_that_cannot_be_read_is_wrong(tmp_path: Path):
    """With its place."""
    (finding,) = found(tmp_path, "permit (principal, action, resource")
    assert (finding.level, "own.cedar:1" in finding.name) == ("wrong", True), finding


def test_policies_that_are_not_there_are_wrong(tmp_path: Path):
    """The setting leads nowhere."""
    settings = rk.Settings(home=tmp_path / "home", key_file=tmp_path / "the.key", access_policies=tmp_path / "no")
    with rk.Workspace.open(settings) as workspace:
        (finding,) = examine_policies(workspace)
    assert (finding.level, finding.name) == ("wrong", "policies")


def test_a_name_that_nothing_answers_to_is_told(tmp_path: Path):
    """A slip in a policy or a grant: what it was to permit, it does not."""
    slip = NewGrant(To.ROLE, "viewer", Gives.ACTION, "run.show", "pipeline", "fligths")
    text = PERMIT.format(name="flights") + PERMIT.format(name="flihgts")
    policy, grant = found(tmp_path, text, slip)
    assert (policy.level, policy.found) == ("note", "it speaks of pipeline flihgts, which is not known here")
    assert ("own.cedar:2" in policy.name, grant.name) == (True, "grant 1")
    assert grant.found == "it speaks of pipeline fligths, which is not known here"
