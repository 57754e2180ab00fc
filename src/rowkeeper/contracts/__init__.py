"""What a good row is: a Pydantic model, and the columns that hold what it accepts.

contract.py      Contract, the one door: schema, columns, check
names.py         under which names the model looks for values
deriving.py      annotation to column type; scalars.py, containers.py, jsontext.py hold the types
reading.py       Arrow to the Python values that Pydantic is given
checking.py      rows through Pydantic, values into columns
passing.py       unknown columns (drift)
faults.py        error lists and this room's own error types
definition.py    what decides the verdicts, as text
compiler/        the model as column checks; what they do not decide goes to checking.py
rules.py         business rules on the accepted values
check.py         `rk.check`, without a pipeline
explain.py       how each field is checked
infer.py         a first contract from a sample, as source; guessing.py says what values look like
"""

from rowkeeper.contracts.check import Checked, check
from rowkeeper.contracts.contract import Contract
from rowkeeper.contracts.explain import FieldPlan
from rowkeeper.contracts.infer import InferredContract, infer_contract
from rowkeeper.contracts.rules import BusinessRule, rule

__all__ = ["BusinessRule", "Checked", "Contract", "FieldPlan", "InferredContract", "check", "infer_contract", "rule"]
