"""The bodies of the commands, one module each: a dataclass `Command` and a function `run`.

Heavy imports belong inside the functions, so that help and bad arguments are answered at once.
"""
