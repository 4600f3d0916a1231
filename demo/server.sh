# Gets everything running: packages, build, a private PostgreSQL with the
# extension, the simulator, the gateway, the application's database.

# Of what apt-get says only the names of the packages are worth reading.
install_packages() {
    [ -z "${WA_DEMO_PREFIX:-}" ] || return 0
    test/tools/install-packages.sh build 2>&1 | tee "$work/packages.log" |
        sed -u -n 's/^installing: /Installing from Debian: /p' ||
        die "packages could not be installed: $(tail -n 20 "$work/packages.log")"
}

# Root builds in a copy, as the user who runs the server, so that nothing in
# the checkout ends up belonging to root.  Tests, which have built already, name
# the directory that has PostgreSQL's bin/ in WA_DEMO_PREFIX.
build_everything() {
    local pg=$PWD/build/pg as=()

    if [ -n "${WA_DEMO_PREFIX:-}" ]; then
        bindir=$WA_DEMO_PREFIX/bin
        return
    fi
    say "Building…"
    if [ "$(id -u)" -eq 0 ]; then
        mkdir "$work/tree"
        tar -cf - --exclude=./.git --exclude=./build --exclude=node_modules \
            --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=wa_simulator --exclude=wa_gateway . |
            tar -C "$work/tree" -xf -
        chown -R "$server_user" "$work/tree"
        cd "$work/tree"
        pg=$work/pg as=(runuser -u "$server_user" --)
    fi
    export MAKEFLAGS=-j$(nproc)
    killable "${as[@]}" test/tools/private-postgres.sh "$pg" > "$work/prefix"
    killable "${as[@]}" make -s -C src/bin/simulator wa_simulator
    killable "${as[@]}" make -s -C src/bin/gateway wa_gateway
    unset MAKEFLAGS
    bindir=$(cat "$work/prefix")/bin
}

# Nobody hears its webhooks yet: their address is registered in step 4.
start_simulator() {
    local waited=0
    make_secret access_token
    make_secret app_secret
    make_secret webhook_verify_token
    : > "$work/simulator.log"
    setsid "${WA_SIMULATOR:-src/bin/simulator/wa_simulator}" --numbers 0 --config demo/account.json \
        --token "$(cat "$work/secrets/access_token")" --waba-id 300000000000001 \
        --app-secret "$(cat "$work/secrets/app_secret")" --faults demo/faults.json \
        --verify-token "$(cat "$work/secrets/webhook_verify_token")" \
        --delay-ms 150 --delay-jitter-ms 1500 --webhook-url "http://127.0.0.1:1/webhook" --webhook-retry-ms 200 \
        --webhook-retry-max-ms 500 --webhook-sent-ms 700 --webhook-delivered-ms 900 --webhook-read-ms 1200 \
        > "$work/simulator.log" 2>&1 &
    simulator_pid=$!
    until graph_url=$(sed -n 's/^listening on //p' "$work/simulator.log") && [ -n "$graph_url" ]; do
        kill -0 "$simulator_pid" 2> /dev/null || die "wa_simulator ended: $(cat "$work/simulator.log")"
        [ $((waited += 1)) -le 100 ] || die "wa_simulator does not start"
        sleep 0.1
    done
    control_url=$(sed -n 's/^control on //p' "$work/simulator.log")
}

start_postgres() {
    as_server "$bindir/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        > "$work/initdb.log" 2>&1 || die "initdb failed: $(cat "$work/initdb.log")"
    cat >> "$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work/socket'
shared_preload_libraries = 'whatsapp_shared'
whatsapp_shared.databases = 'bakery'
whatsapp_shared.enabled = on
whatsapp_shared.graph_url = '$graph_url'
whatsapp_shared.business_account_id = '300000000000001'
whatsapp_shared.access_token_file = '$work/secrets/access_token'
whatsapp_shared.app_secret_file = '$work/secrets/app_secret'
whatsapp_shared.webhook_verify_token_file = '$work/secrets/webhook_verify_token'
CONF
    as_server "$bindir/pg_ctl" -s -w -D "$work/data" -l "$work/postgres.log" start ||
        die "PostgreSQL does not start: $(tail -n 20 "$work/postgres.log")"
}

# The application owns its database and is no superuser; it may enqueue, and
# name functions of its own that answer replies.
create_application() {
    psql_ -U postgres -d postgres -c "CREATE ROLE bakery_app LOGIN" \
        -c "CREATE ROLE gateway_webhook LOGIN" -c "CREATE ROLE gateway_admin LOGIN" \
        -c "CREATE DATABASE bakery OWNER bakery_app"
    admin -c "CREATE ROLE whatsapp NOLOGIN" -c "CREATE SCHEMA whatsapp" \
        -c "CREATE EXTENSION whatsapp_shared SCHEMA whatsapp" \
        -c "ALTER DATABASE bakery SET search_path = \"\\\$user\", public, whatsapp" > /dev/null
    admin -c "SELECT wa_grant('bakery_app', 'sender')" \
        -c "SELECT wa_grant('gateway_webhook', 'webhook'), wa_grant('gateway_admin', 'admin')" \
        -c "GRANT EXECUTE ON FUNCTION wa_on_reply TO bakery_app" > /dev/null
    application -f demo/schema.sql -f demo/data.sql -f demo/trigger.sql -f demo/replies.sql > /dev/null
}

# The gateway runs as whoever runs the demo, and reads its secrets from files of its own.
start_gateway() {
    local waited=0 file
    (
        umask 077
        mkdir "$work/gateway"
        for file in app_secret webhook_verify_token; do cat "$work/secrets/$file" > "$work/gateway/$file"; done
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "$work/gateway/admin_token"
    )
    : > "$work/gateway.log"
    setsid "${WA_GATEWAY:-src/bin/gateway/wa_gateway}" --listen 127.0.0.1:0 --access-log '' \
        --database "host=$work/socket port=5432 dbname=bakery user=gateway_admin" \
        --webhook-database "host=$work/socket port=5432 dbname=bakery user=gateway_webhook" \
        --admin-token-file "$work/gateway/admin_token" --app-secret-file "$work/gateway/app_secret" \
        --verify-token-file "$work/gateway/webhook_verify_token" > "$work/gateway.log" 2>&1 &
    gateway_pid=$!
    until gateway_url=$(sed -n 's/^listening on //p' "$work/gateway.log") && [ -n "$gateway_url" ]; do
        kill -0 "$gateway_pid" 2> /dev/null || die "wa_gateway ended: $(cat "$work/gateway.log")"
        [ $((waited += 1)) -le 100 ] || die "wa_gateway does not start"
        sleep 0.1
    done
    admin -c "ALTER SYSTEM SET whatsapp_shared.gateway_url = '$gateway_url'" -c "SELECT pg_reload_conf()" > /dev/null
}

# What a person does once on Meta's page for the app: its webhooks go to this address, which Meta verifies.
register_webhooks() {
    simulator POST config "{\"webhook_url\": \"$gateway_url/webhook\"}" > /dev/null
    simulator POST handshake > /dev/null
}
