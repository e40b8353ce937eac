// Package lint holds the house rules that a compiler does not check, as tests: which room may import which, where clocks and
// goroutines are not allowed, and that tests do not sleep. It has no code of its own.
package lint
