"""PHP that goes with every clone: the guard that makes it safe, and the script that makes its administrator."""
