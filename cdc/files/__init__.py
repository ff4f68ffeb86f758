"""Settlement files of payment channels: checked as a whole, then published as changes like those of any table."""
