#!/bin/sh
# Makes ./secrets for docker-compose.yml: passwords for the database's superuser and for our role, and the URL with the latter.
# What is there already stays.
#
# The containers' users are not yours, so the files in it are readable; the folder is yours alone.
set -eu
cd "$(dirname "$0")/.."

folder=${1:-secrets}
if [ -e "$folder/database_url" ]; then
    printf 'secrets: %s is there already; nothing was changed\n' "$folder/database_url"
    exit 0
fi
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
password=$(random)
umask 022
random >"$folder/postgres_password"
printf '%s' "$password" >"$folder/custody_password"
printf 'postgresql+psycopg://custody:%s@postgres:5432/custody' "$password" >"$folder/database_url"
printf 'secrets: made %s\n' "$folder"
