//go:build !race

package group

// raceDetector makes pools forget what they hold now and then.
const raceDetector = false
