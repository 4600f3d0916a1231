# What demo/run.sh needs besides its story: a place to work, a server in it,
# ways to show SQL and its answer, and an end that leaves nothing behind.

if [ -t 1 ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') off=$(printf '\033[0m') terminal=1
else
    bold='' dim='' off='' terminal=
fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s\n' "$*"; }
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# ---- the end ---------------------------------------------------------------

work=          # everything the demo writes, apart from build/
simulator_pid=
gateway_pid=
child=        # leader of the process group of a long command

# A long command that a signal to this script ends at once.
killable() {
    local status=0
    setsid "$@" &
    child=$!
    wait "$child" || status=$?
    child=
    return "$status"
}

clean_up() {
    local status=$?
    trap '' INT TERM HUP PIPE
    trap - EXIT
    set +e
    if [ -n "$work" ]; then
        [ -n "$child" ] && kill -- "-$child" && wait "$child"
        [ -n "$gateway_pid" ] && kill "$gateway_pid" && wait "$gateway_pid"
        [ -n "$simulator_pid" ] && kill "$simulator_pid" && wait "$simulator_pid"
        if [ -f "$work/data/postmaster.pid" ]; then
            as_server "$bindir/pg_ctl" -s -w -t 20 -m fast -D "$work/data" stop ||
                as_server "$bindir/pg_ctl" -s -w -t 20 -m immediate -D "$work/data" stop
        fi
        if [ "$status" -ne 0 ] && [ -n "${DEMO_LOG:-}" ]; then
            cat "$work"/*.log > "$DEMO_LOG"
        fi
        rm -rf "$work"
    fi 2>/dev/null
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# ---- the server ------------------------------------------------------------

# PostgreSQL refuses to run as root: then it runs as the user its package made.
if [ "$(id -u)" -eq 0 ]; then
    server_user=postgres
    as_server() { (cd "$work" && exec runuser -u "$server_user" -- "$@"); }
else
    server_user=$(id -un)
    as_server() { (cd "$work" && exec "$@"); }
fi

# A directory that only the server's user (and root) can enter, with a path
# short enough for a Unix socket.  No TCP port is opened: the "port" 5432 is
# but the name of a socket in here.
make_work_directory() {
    work=$(mktemp -d /tmp/whatsapp_shared-demo.XXXXXX)
    mkdir "$work/socket" "$work/secrets"
}

# Once the package that makes the server's user is there.
give_work_directory() {
    [ "$(id -u)" -ne 0 ] || chown -R "$server_user" "$work"
}

# A secret that only the server's user can read, as the extension demands.
make_secret() {
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$work/secrets/$1")
    [ "$(id -u)" -ne 0 ] || chown "$server_user" "$work/secrets/$1"
}

# ---- SQL -------------------------------------------------------------------

# psql, as the operator or as the application.
psql_() { "$bindir/psql" -X -q -h "$work/socket" -p 5432 -d bakery -v ON_ERROR_STOP=1 "$@"; }
admin() { psql_ -U postgres "$@"; }
application() { psql_ -U bakery_app "$@"; }
value() { admin -At -c "$1"; }

print_sql() { sed -e "s/^/  $dim/" -e "s/\$/$off/" <<< "$1"; }

# Runs what it is given as the user named first, and shows both the statement
# and what the server says to it, an error included.
show() {
    print_sql "$2"
    "$1" -v SHOW_CONTEXT=never -P footer=off -P format=wrapped -P columns=116 -c "$2" 2>&1 |
        sed -e '/^$/d' -e 's/^/  /' -e 's/ *$//'
}

# The same, where the answer says nothing.
run() {
    print_sql "$2"
    "$1" -c "$2" > /dev/null
}

# What wa_explain() says of an order's message.
explain() {
    local query="SELECT explanation FROM wa_explain((SELECT id FROM whatsapp_messages WHERE reference = '$1'))"

    print_sql "$query"
    value "$query" | fold -s -w 110 | sed -e 's/^/  » /' -e 's/ *$//'
}

# The same, but it has to fail.
show_refused() {
    local output
    if output=$(show "$@"); then
        printf '%s\n' "$output"
        die "this should have been refused"
    fi
    printf '%s\n' "$output"
}

# A message as it appears on the phone: the template with its values in it
# and its buttons, or the text.
telephone() {
    value "SELECT '  ┃ ' || line
           FROM whatsapp_messages m LEFT JOIN whatsapp_templates t ON (t.name, t.language) = (m.template_name, m.template_language),
               LATERAL (SELECT string_agg(part || coalesce(jsonb_path_query_array(m.payload,
                                '\$.components[*] ? (@.type == \"body\").parameters[*].text') ->> n::int - 1, ''), '' ORDER BY n)
                        FROM regexp_split_to_table(t.components #>> '{0,text}', '\{\{\d+\}\}') WITH ORDINALITY p (part, n)
                        UNION ALL
                        SELECT string_agg(format('[%s]', b ->> 'text'), ' ')
                        FROM jsonb_array_elements(t.components #> '{1,buttons}') b
                        UNION ALL
                        SELECT m.payload ->> 'body') lines (line)
           WHERE line IS NOT NULL AND $1"
}

# ---- watching --------------------------------------------------------------

# Waits until a query answers t.
wait_until() {
    local deadline=$((SECONDS + 30))
    until [ "$(value "$1")" = t ]; do
        [ "$SECONDS" -lt "$deadline" ] || die "after 30 seconds this is still not true: $1"
        sleep 0.1
    done
}

# How many messages are where, in the order in which they travel.
travel_line() {
    value "SELECT string_agg(w.status || ' ' || coalesce(n, 0), ' → ' ORDER BY place)
           FROM unnest(string_to_array('$1', ' ')) WITH ORDINALITY AS w (status, place)
           LEFT JOIN (SELECT CASE status WHEN 'sending' THEN 'queued' ELSE status END AS status, count(*) AS n
                      FROM whatsapp_messages GROUP BY 1) m USING (status)"
}

# Shows the messages moving until none is in one of the statuses left to leave.
#   watch_messages "all statuses on the way" "those that must become empty"
watch_messages() {
    local way=$1 leave=$2 line='' last='' deadline=$((SECONDS + 60)) waiting
    while :; do
        waiting=$(value "SELECT count(*) FROM whatsapp_messages WHERE status = ANY (string_to_array('$leave', ' '))")
        line=$(travel_line "$way")
        if [ -n "$terminal" ]; then
            printf '\r\033[K  %s' "$line"
        elif [ "$line" != "$last" ]; then
            printf '  %s\n' "$line"
        fi
        last=$line
        [ "$waiting" -gt 0 ] || break
        if [ "$SECONDS" -ge "$deadline" ]; then
            [ -z "$terminal" ] || echo
            admin -c "SELECT m.id, m.status, m.error_message FROM whatsapp_messages m
                      WHERE m.status = ANY (string_to_array('$leave', ' '))"
            die "after 60 seconds $waiting messages have not moved on"
        fi
        sleep 0.1
    done
    [ -z "$terminal" ] || echo
}

# simulator GET|POST COMMAND [BODY].  Perl is there wherever Debian's PostgreSQL is.
simulator() {
    perl -MHTTP::Tiny -e '
        my ($method, $url, $body) = @ARGV;
        my $r = HTTP::Tiny->new(timeout => 10)->request($method, $url, { content => $body // "" });
        die "$method $url: $r->{status} $r->{content}\n" unless $r->{success};
        print $r->{content}' "$1" "$control_url/_control/$2" "${3:-}"
}

check_against_simulator() {
    simulator GET 'log?limit=100000' > "$work/log.json"
    admin -v "file=$work/log.json" -f demo/check.sql 2>&1 | sed 's/^/  /'
}
