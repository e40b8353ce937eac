// Package clusterstatus is `gregor cluster status`: one screen that says which brokers there are, who controls them, what is wrong and
// what to do about it.
//
// Owns: the command's flags, what counts as a problem, and the two forms of the account, text and JSON; no state.
// Guarded by: nothing; questions to brokers and ZooKeeper go out side by side, what they answer is judged by one goroutine.
// Invariants: every problem comes with what to do about it; a source that does not answer is a problem and not the end of the command.
// Exit code 0 is a healthy cluster, 1 one with problems.
// Imports: kmsg, zkmeta, tools/internal.
// Kafka counterpart: none.
package clusterstatus
