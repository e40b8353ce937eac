#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each and names those that failed. A failing input stands under testdata/fuzz: keep it
# with the mend. ONLY=REGEXP chooses targets.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
: "${FUZZTIME:=60s}" "${GO:=go}" "${ONLY:=.}"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=()
packages=$("$GO" list -f '{{.ImportPath}} {{.Dir}}' ./...) || exit 1
while read -r pkg dir; do
	compgen -G "$dir/*_test.go" >/dev/null || continue
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | awk '{print $2}' | sort -u); do
		[[ "$pkg $target" =~ $ONLY ]] || continue
		echo "== $pkg $target"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5x "$pkg" 2>&1 | tee "$out" | grep --line-buffered -v '^fuzz: elapsed' &&
			[ "${PIPESTATUS[0]}" -eq 0 ] && continue
		# On a busy machine go reports that the time was up as a failure; one that it found writes its input.
		if grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out"; then
			continue
		fi
		failed+=("$pkg $target")
	done
done <<<"$packages"
if [ ${#failed[@]} -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}"
	exit 1
fi
