// Package cli reads command lines the way Apache Kafka 2.7.2's tools do.
//
// Owns: the grammar of jopt-simple that those tools are written with (`--flag value`, `--flag=value`, `-flag value`, optional
// arguments, stray words kept aside, no abbreviations), its wording for mistakes, its two-column help, and Kafka's own
// refusals built on it (missing and conflicting options).
// Guarded by: nothing; a Parser and its Options belong to one call of one tool.
// Invariants: parsing never prints and never exits; a mistake is an error whose type says how Kafka shows it: UsageError (message
// and help on stderr, exit 1) or OptionError (which each tool shows as usage or as an uncaught exception).
// Imports: the standard library only, so that a tool starts in a millisecond.
// Kafka counterpart: kafka.utils.CommandLineUtils, kafka.utils.CommandDefaultOptions, joptsimple.
package cli
