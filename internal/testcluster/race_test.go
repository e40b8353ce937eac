//go:build race

package testcluster_test

// seeds are few: under the race detector each takes half a minute.
const seeds = 1
