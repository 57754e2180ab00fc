"""What a good row is: a Pydantic model, and the columns that hold what it accepts.

contract.py      Contract, the one door: schema, columns, check
names.py         under which names the model looks for values
deriving.py      annotation to column type; scalars.py, containers.py, jsontext.py hold the types
reading.py       Arrow to the Python values that Pydantic is given
checking.py      rows through Pydantic, values into columns
passing.py       unknown columns (drift)
faults.py        error lists and this room's own error types
definition.py    what decides the verdicts, as text
explain.py       how each field is checked
infer.py         a first contract from a sample, as source; guessing.py says what values look like
"""

from rowkeeper.contracts.contract import Contract
from rowkeeper.contracts.explain import FieldPlan
from rowkeeper.contracts.infer import InferredContract, infer_contract

__all__ = ["Contract", "FieldPlan", "InferredContract", "infer_contract"]
