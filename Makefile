# SPDX-License-Identifier: MIT
#
# The way in. Meson builds; tools/ does the work; each target does the set-up it needs.

# ninja is parallel by itself, and two of them in one directory are not good.
.NOTPARALLEL:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory

.PHONY: all setup demo check bench check-sanitize check-clang check-kernel check-format format install clean

all: setup
	@tools/build gcc

setup:
	@tools/setup

demo: export UMBRA_STARTED := $(shell date +%s)
demo: all
	@tools/demo

check: all
	@tools/check

check-sanitize: setup
	@tools/check sanitize

check-clang: setup
	@tools/check clang

check-kernel: setup
	@tools/check kernel

check-format: setup
	@tests/house/format.py

format: setup
	@tests/house/format.py --fix

bench: all
	@tests/bench/run

# PREFIX and DESTDIR as everywhere.
PREFIX ?= /usr/local
install: all
	@meson configure build -Dprefix="$(PREFIX)"
	@meson install -C build

clean:
	rm -rf build build-clang build-san
