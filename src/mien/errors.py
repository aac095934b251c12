"""The one exception a person is meant to read."""


class MienError(Exception):
    """Something the user can mend: says what is wrong, where, and how to mend it.

    The command line prints the message alone and exits with code 2. Anything else that is raised
    is a defect of Mien's and keeps its traceback.
    """
