package zookeepershell

import (
	"strconv"
)

// closed ends the session and says so, as its last event.
func (sh *shell) closed() {
	if sh.conn == nil {
		return
	}
	sh.close()
	sh.event("Closed", "None", "null")
}

func printWatches(sh *shell, words []string) {
	if len(words) == 1 {
		state := "off"
		if sh.watches.Load() {
			state = "on"
		}
		sh.out.printf("printwatches is %s\n", state)
		return
	}
	sh.watches.Store(words[1] == "on")
}

func showHistory(sh *shell, _ []string) {
	for i := sh.count - 10; i <= sh.count; i++ {
		if i >= 0 {
			sh.out.printf("%d - %s\n", i, sh.history[i])
		}
	}
}

// redo runs a former line again.
func redo(sh *shell, words []string) {
	if len(words) < 2 {
		sh.help()
		return
	}
	i, err := strconv.Atoi(words[1])
	if err != nil {
		sh.fail(`Exception in thread "main" java.lang.NumberFormatException: For input string: ` + strconv.Quote(words[1]))
		return
	}
	line, ok := sh.history[i]
	if !ok || i >= sh.count {
		sh.fail("Command index out of range")
		return
	}
	again := split(line)
	if len(again) > 0 && again[0] == "redo" {
		sh.fail("No redoing redos")
		return
	}
	sh.history[sh.count] = line
	sh.run(again)
}
