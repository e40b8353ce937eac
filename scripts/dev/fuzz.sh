#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each; stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FUZZTIME:=60s}" "${GO:=go}"
for pkg in $("$GO" list ./...); do
	dir=$("$GO" list -f '{{.Dir}}' "$pkg")
	compgen -G "$dir/*_test.go" >/dev/null || continue
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | awk '{print $2}' | sort -u); do
		echo "== $pkg $target"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5x "$pkg"
	done
done
