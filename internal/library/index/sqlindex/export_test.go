package sqlindex

// Terms, for tests.
func Terms(text string) []string { return terms(text) }
