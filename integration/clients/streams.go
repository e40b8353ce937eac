package clients

import "os/exec"

// WordCount is Kafka Streams' application that counts the words of a topic, to be started: it runs until it is told to end. Without persistent
// its state is in memory, and in its changelog.
func (t *Tools) WordCount(bootstrap, application, from, to, guarantee, dir string, persistent bool) *exec.Cmd {
	argv := t.java("streams-2.7.2", "WordCount", bootstrap, application, from, to, guarantee, dir)
	if !persistent {
		argv = append(argv, "memory")
	}
	return exec.Command(argv[0], argv[1:]...)
}
