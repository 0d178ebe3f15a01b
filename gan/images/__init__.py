"""Images: files to arrays and back, their size and colours."""
