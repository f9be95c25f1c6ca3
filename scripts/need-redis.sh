#!/bin/sh
# Makes sure that there is a redis-server.
set -eu

# Debian's package starts a server of its own on port 6379; the tests need none.
sh "$(dirname "$0")/need.sh" redis-server redis-server redis redis redis redis && exit 0
cat >&2 <<'TEXT'
redis-server could not be installed. Install Redis 6.2 or later so that
redis-server is in the PATH (https://redis.io/docs/latest/operate/oss_and_stack/install/),
then run the command again.
TEXT
exit 1
