"""The frame of the pages: the application, what routes share, templates, languages, live updates."""
