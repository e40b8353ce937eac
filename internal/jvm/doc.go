// Package jvm is how a few things come out of a JVM: the hash of a string, the order in which hash tables of Java and Scala are
// iterated, and how Jackson quotes a string. Kafka's znodes and the output of its tools show them, so Gregor's compare byte for byte.
//
// It has no state. It imports the standard library only.
//
// Counterparts: java.lang.String, java.util.Properties, scala.collection.mutable.HashMap and HashSet (2.13), Jackson's JsonGenerator.
package jvm
