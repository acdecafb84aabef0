"""The one exception for what a user can mend: entry points print its message and exit with code 2."""


class InputError(ValueError):
    """A file, value or option that cannot be used. The message names it and says what was expected."""
