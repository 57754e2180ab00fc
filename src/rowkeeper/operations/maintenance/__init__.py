"""`rowkeeper maintain`: what is no longer needed goes, what grew in pieces is merged; nothing that is needed is lost.

A part looks at one thing and says what there is to do, as tasks; `maintaining.py` has them done, or only told.
"""
