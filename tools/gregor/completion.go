package main

import (
	"fmt"
	"io"
	"strings"
)

// completion is `gregor completion bash|zsh`: a script that completes commands, and the flags that a command's --help names, so that
// it never lags behind them.
func completion(args []string, stdout, stderr io.Writer) int {
	shells := map[string]string{"bash": bashCompletion, "zsh": zshCompletion}
	if len(args) != 1 || shells[args[0]] == "" {
		fmt.Fprint(stderr, "usage: gregor completion bash|zsh\n"+
			"  bash: source <(gregor completion bash)      or write it to /etc/bash_completion.d/gregor\n"+
			"  zsh:  gregor completion zsh > \"${fpath[1]}/_gregor\"\n")
		return 1
	}
	var names, scripts []string
	for i := range commands {
		names = append(names, commands[i].name)
		scripts = append(scripts, commands[i].name+".sh")
	}
	names = append(names, "help", "version", "completion")
	r := strings.NewReplacer("@COMMANDS@", strings.Join(names, " "), "@SCRIPTS@", strings.Join(scripts, " "))
	fmt.Fprint(stdout, r.Replace(shells[args[0]]))
	return 0
}

const bashCompletion = `# bash completion for gregor and its scripts
_gregor() {
  local word=${COMP_WORDS[COMP_CWORD]} call=("${COMP_WORDS[0]}")
  if [[ ${call[0]##*/} == gregor ]]; then
    if ((COMP_CWORD == 1)); then
      COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word"))
      return
    fi
    call+=("${COMP_WORDS[1]}")
    if [[ ${COMP_WORDS[1]} == completion ]]; then
      COMPREPLY=($(compgen -W "bash zsh" -- "$word"))
      return
    fi
  fi
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$("${call[@]}" --help 2>&1 </dev/null | sed -n 's/^ *\(--[a-zA-Z0-9.-]*\).*/\1/p')" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _gregor gregor @SCRIPTS@
`

const zshCompletion = `#compdef gregor @SCRIPTS@
# zsh completion for gregor and its scripts
_gregor() {
  local -a call flags
  call=($words[1])
  if [[ ${words[1]:t} == gregor ]]; then
    if ((CURRENT == 2)); then
      compadd -- @COMMANDS@
      return
    fi
    call+=($words[2])
    if [[ $words[2] == completion ]]; then
      compadd -- bash zsh
      return
    fi
  fi
  if [[ $PREFIX == -* ]]; then
    flags=(${(f)"$($call --help 2>&1 </dev/null | sed -n 's/^ *\(--[a-zA-Z0-9.-]*\).*/\1/p')"})
    compadd -- $flags
  else
    _files
  fi
}
compdef _gregor gregor @SCRIPTS@ 2>/dev/null
`
