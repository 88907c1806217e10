"""The page to search by ear: `mess listen`."""
