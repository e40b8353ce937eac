// Package meter holds what hot paths count with: counters and histograms that cost an atomic addition or two, and are worth nothing
// until somebody reads them.
//
// Owns: its own cells. Guarded by: cells are atomic; reading a histogram lets its past fade, so readers take turns (the scrape's lock).
// Invariants: counting allocates nothing, takes no lock and starts nothing; a counter never falls. Imports: nothing but the standard
// library. Kafka's counterpart: com.yammer.metrics, of whose histograms the quantiles are dashboards' daily bread.
package meter
