#!/bin/sh
# Makes sure that there is a program, installing it with the system's package manager
# where it is missing.
#
#   need.sh "PROGRAM [OTHER NAME]..." APT DNF APK PACMAN BREW
#
# The last five are what these package managers call it, each perhaps several packages.
# Exits with 1 if there is no such program in the end. Programs that distributions put
# where only root looks are found too.
set -eu

programs=$1 apt=$2 dnf=$3 apk=$4 pacman=$5 brew=$6
PATH=$PATH:/usr/local/sbin:/usr/sbin

there() {
	for program in $programs; do
		command -v "$program" >/dev/null 2>&1 && return 0
	done
	return 1
}

there && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 && sudo="sudo -n"
fi

echo "${programs%% *} is missing, installing it" >&2
# shellcheck disable=SC2086 # several packages are several words
if command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	{ $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $apt; } >&2 || true
elif command -v dnf >/dev/null 2>&1; then
	$sudo dnf install -y -q $dnf >&2 || true
elif command -v apk >/dev/null 2>&1; then
	$sudo apk add --quiet $apk >&2 || true
elif command -v pacman >/dev/null 2>&1; then
	$sudo pacman -S --noconfirm --quiet $pacman >&2 || true
elif command -v brew >/dev/null 2>&1; then
	brew install --quiet $brew >&2 || true
fi

there
