"""The frame of the dashboard: application, pages in their language, live updates, figures read in the background."""
