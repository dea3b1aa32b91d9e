#!/bin/sh
# Stands for sendmail on a clone: PHP's mail() writes the message to the box next to this script's directory.
box="$(dirname "$0")/../mail"
exec cat > "$box/$(date +%s.%N)-$$.eml"
