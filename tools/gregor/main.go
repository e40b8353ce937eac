// Command gregor is the one multi-call binary: the broker, the embedded ZooKeeper and every script.
package main

func main() {}
