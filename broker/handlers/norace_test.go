//go:build !race

package handlers

// raceDetector makes pools forget what they hold now and then.
const raceDetector = false
