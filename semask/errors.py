"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""


class InputError(Exception):
    """Wrong input from the user: a config value, a file, a device that is not there.

    The message is one line (one line per fault where several are reported): which file or key,
    what is wrong with it, and what to do. Command-line scripts print it without a traceback and
    exit with a non-zero status.
    """
