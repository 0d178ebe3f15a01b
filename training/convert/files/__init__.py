"""Files that people bring -> tensors and records, without running what lies in them."""
