#!/usr/bin/env bash
# The page is tested in a real Chromium. Debian's package is used; as root it is installed when missing.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing chromium for the page's tests"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  exit 0
fi
echo "the page's tests need Chromium: install it (Debian: apt-get install chromium) and try again" >&2
exit 1
