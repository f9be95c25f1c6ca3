#!/bin/sh
# Makes sure that there is a redis-server, installing it with the system's
# package manager where it is missing.
set -eu

command -v redis-server >/dev/null 2>&1 && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 && sudo="sudo -n"
fi

echo "redis-server is missing, installing it" >&2
if command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	# The package starts a server of its own on port 6379; the tests need none.
	{ $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends redis-server; } >&2 || true
elif command -v dnf >/dev/null 2>&1; then
	$sudo dnf install -y -q redis >&2 || true
elif command -v apk >/dev/null 2>&1; then
	$sudo apk add --quiet redis >&2 || true
elif command -v pacman >/dev/null 2>&1; then
	$sudo pacman -S --noconfirm --quiet redis >&2 || true
elif command -v brew >/dev/null 2>&1; then
	brew install --quiet redis >&2 || true
fi

command -v redis-server >/dev/null 2>&1 && exit 0
cat >&2 <<'TEXT'
redis-server could not be installed. Install Redis 6.2 or later so that
redis-server is in the PATH (https://redis.io/docs/latest/operate/oss_and_stack/install/),
then run the command again.
TEXT
exit 1
