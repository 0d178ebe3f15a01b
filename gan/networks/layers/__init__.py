"""What the network families share."""
