"""What each kind of rule means, as the text that it adds to a group's judge."""
