GO ?= go
export CGO_ENABLED = 0

build:
	$(GO) build -trimpath -o bin/gregor ./tools/gregor

test:
	$(GO) test ./...

.PHONY: build test
