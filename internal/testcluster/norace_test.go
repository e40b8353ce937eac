//go:build !race

package testcluster_test

const seeds = 6
