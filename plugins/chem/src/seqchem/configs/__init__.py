"""Options of models and commands, free of torch; one module a command or family."""
