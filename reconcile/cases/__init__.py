"""The part of a discrepancy's life that people steer: verdicts and commands in, where it stands out. Pure."""
