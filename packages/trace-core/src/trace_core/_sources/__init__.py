"""Where recorded spans can be read again: files, spools, and the stores of other packages."""
