"""The contract compiler: Pydantic's verdicts and values, by column where a column can tell them.

schema.py a model's core schema: its fields, what each is looked up under, and what keeps them from standing alone
rule.py   what a rule says of a column: which rows it surely accepts, and with which values
numbers.py, text.py, times.py, choices.py   the rules;  isotime.py  times as text, by numpy
alone.py  a field that only Pydantic can judge, judged without the rest of its row
distinct.py  columns of text whose values repeat
doubts.py rows of which the columns accept all fields but some: Pydantic is asked about those
plan.py   the fields' rules for one layout of input; rows that they do not decide are left to Pydantic

Three kinds of field: V, the columns alone decide; P, the columns decide on a narrow form, and everything else goes to
Pydantic; F, Pydantic decides. What the columns do not accept goes to Pydantic, field by field, or as whole rows where
fields cannot be judged apart; so what the columns do not know costs time, never a verdict. Every key of a core schema
node must be known to its rule; one that is not makes the field F.
"""

from rowkeeper.contracts.compiler.plan import Compiler, Decided, FieldKind

__all__ = ["Compiler", "Decided", "FieldKind"]
