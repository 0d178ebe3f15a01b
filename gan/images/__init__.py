"""Pictures: files to arrays and back, their size and colours."""
