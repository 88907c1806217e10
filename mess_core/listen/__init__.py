"""Web pages of `mess listen`: search by ear, and the listening test."""
