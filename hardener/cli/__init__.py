"""The command line: options, printing, exit codes. Imports no torch until a command runs."""
