#!/bin/sh
# Run by the postgres image of docker-compose.yml when its volume is empty: a role that may do nothing but use its own database,
# and that database. The image's own user is a superuser, whom no trigger and no right binds; nothing of ours signs in as it.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat "${CUSTODY_PASSWORD_FILE:-/run/secrets/custody_password}"`
CREATE ROLE custody LOGIN PASSWORD :'password';
CREATE DATABASE custody OWNER custody TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE ALL ON DATABASE custody FROM PUBLIC;
SQL
