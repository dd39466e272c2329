#!/bin/sh
# `sudo ./install.sh` installs what lies beside it, `sudo ./install.sh uninstall` takes it away again, whichever version installed it.
# PREFIX=/usr/local says where to, as a variable or as an argument; with DESTDIR files are laid out below it, and nothing else is done.
set -eu
cd "$(dirname "$0")"
verb=install
for word; do
    case $word in
    install | uninstall) verb=$word ;;
    PREFIX=/*) PREFIX=${word#PREFIX=} ;;
    *) echo "usage: ./install.sh [install|uninstall] [PREFIX=/usr/local]" >&2 && exit 2 ;;
    esac
done
exec env DESTDIR="${DESTDIR:-}" PREFIX="${PREFIX:-/usr/local}" BINARY="$PWD/bin/clockgate" AGAIN='sudo ./install.sh' \
    AWAY='sudo ./install.sh uninstall' packaging/install "$verb"
