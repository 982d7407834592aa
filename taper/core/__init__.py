"""Who decides what: conversation, volumes, parts. No thread, file, socket or reactor."""
