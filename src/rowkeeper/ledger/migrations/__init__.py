"""How the ledger's tables came to be, a file per step; `versions/` is read by Alembic."""
