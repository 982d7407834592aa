"""amanda.conf: lexer, grammar, typed sections, loader."""
