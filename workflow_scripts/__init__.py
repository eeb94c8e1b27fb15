"""One command-line script per rule: argument parsing, then one call into semask."""
