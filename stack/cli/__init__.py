"""The command `tunstack`: one module for each of its subcommands."""
