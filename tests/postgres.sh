# A private PostgreSQL cluster for a test command: sourced, not run. `start_postgres` exports
# PAYLINK_TEST_POSTGRES and, where there is PgBouncer ($PGBOUNCER, or on the PATH),
# PAYLINK_TEST_POOLER; whoever calls it also calls `stop_postgres` when it ends.

postgres_bin() {
  local dir
  for dir in $(command -v initdb >/dev/null 2>&1 && dirname "$(readlink -f "$(command -v initdb)")") /usr/lib/postgresql/*/bin; do
    [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && printf '%s' "$dir" && return 0
  done
  return 1
}

# installs the named packages of the system
install_packages() {
  [ $# = 0 ] && return 0
  printf '\n== installing %s\n' "$*"
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

work=
# PostgreSQL refuses to run as root; an unprivileged account of the system does it then
as_server() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups env HOME="$work" "$@"
  else
    "$@"
  fi
}

start_postgres() {
  local bin
  bin=$(postgres_bin) || { echo "initdb and postgres are missing; install PostgreSQL's server" >&2; exit 1; }
  work=$(mktemp -d "${TMPDIR:-/tmp}/paylink-tests.XXXXXX")
  server_user=nobody
  if id postgres >/dev/null 2>&1; then server_user=postgres; fi
  chmod 755 "$work"
  mkdir "$work/data" "$work/socket"
  [ "$(id -u)" = 0 ] && chown "$server_user" "$work/data" "$work/socket"
  (cd "$work" && as_server "$bin/initdb" --pgdata="$work/data" --username=paylink --auth=trust --encoding=UTF8 --locale=C --no-sync >"$work/initdb.log")
  local port
  for port in $(seq 54320 54420); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    if (cd "$work" && as_server "$bin/pg_ctl" --pgdata="$work/data" --log="$work/data/log" --wait --timeout=60 \
        --options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$work/socket -c max_connections=200 -c lc_messages=C -c fsync=off" start >/dev/null); then
      export PAYLINK_TEST_POSTGRES="postgres://paylink@127.0.0.1:$port/postgres?sslmode=disable"
      start_pooler "$port"
      return 0
    fi
  done
  echo "no port for PostgreSQL could be had; its log:" >&2
  cat "$work/data/log" >&2
  exit 1
}

# in transaction mode where it can keep track of prepared statements, else in session mode
start_pooler() {
  local program port mode=session
  program=$(command -v "${PGBOUNCER:-pgbouncer}") || return 0
  local version
  version=$("$program" --version | sed -n 's/^PgBouncer //p')
  local settings=
  if [ "$(printf '%s\n' 1.21 "$version" | sort -V | head -1)" = 1.21 ]; then
    mode=transaction settings='max_prepared_statements = 200'
  fi
  for port in $(seq 54421 54520); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    cat >"$work/pooler.ini" <<INI
[databases]
* = host=127.0.0.1 port=$1 user=paylink
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = $mode
default_pool_size = 50
logfile = $work/socket/pooler.log
pidfile = $work/socket/pooler.pid
$settings
INI
    if as_server "$program" -q -d "$work/pooler.ini"; then
      printf '== PgBouncer %s, in %s mode\n' "$version" "$mode"
      export PAYLINK_TEST_POOLER="postgres://paylink@127.0.0.1:$port/postgres?sslmode=disable"
      return 0
    fi
  done
  echo "no port for PgBouncer could be had" >&2
  exit 1
}

stop_postgres() {
  [ -n "$work" ] || return 0
  local bin
  if [ -f "$work/socket/pooler.pid" ]; then kill "$(cat "$work/socket/pooler.pid")" 2>/dev/null || true; fi
  bin=$(postgres_bin)
  (cd "$work" && as_server "$bin/pg_ctl" --pgdata="$work/data" --mode=immediate --wait stop >/dev/null 2>&1) || true
  rm -rf "$work"
}
