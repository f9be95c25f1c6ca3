#!/bin/sh
# Makes sure that there are the clients that the tests in clients use: a browser, and
# Apache as a shared cache.
set -eu
need="$(dirname "$0")/need.sh"

sh "$need" "chromium chromium-browser google-chrome" chromium chromium chromium chromium chromium || {
	echo "chromium could not be installed. Install Chromium or Chrome so that it is in the PATH, then run the command again." >&2
	exit 1
}
# Of Debian's packages apache2-bin is the one that starts no server of its own.
sh "$need" "apache2 httpd" apache2-bin httpd "apache2 apache2-proxy" apache httpd || {
	echo "apache2 could not be installed. Install Apache 2.4 with mod_cache so that apache2 or httpd is in the PATH, then run the command again." >&2
	exit 1
}
