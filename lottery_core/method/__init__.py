"""The method as functions of arrays: what goes, what stays, what the survivors restart from."""
