#!/bin/sh
# The fast stand-in for the Graph API that the benchmarks post to: nginx, one
# worker, on loopback.  It accepts anything and answers as the Cloud API does,
# with an id of its own for each request.
#
# usage: nginx.sh DIRECTORY FIRST_PORT
#
# Writes the configuration and certificates into DIRECTORY and becomes nginx in
# the foreground; end it with SIGTERM or SIGQUIT.  Runs as any user.
#
#   FIRST_PORT      HTTP/1.1          FIRST_PORT + 3   HTTP/1.1, 80 ms
#   FIRST_PORT + 1  HTTP/1.1 + TLS    FIRST_PORT + 4   HTTP/1.1 + TLS, 80 ms
#   FIRST_PORT + 2  HTTP/2 + TLS      FIRST_PORT + 5   HTTP/2 + TLS, 80 ms
#
# The request is read whole before it is answered (echo_read_request_body).  A
# bare "return 200" would be cheaper, but over HTTP/2 it answers before the body
# has arrived and then resets the stream, which Meta does not do and which makes
# a few accepted requests look failed.
set -eu

if [ $# -ne 2 ]; then
	sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2
	exit 2
fi
dir=$1
port=$2
answer_delay=0.08

module=
for candidate in /usr/lib/nginx/modules /usr/share/nginx/modules; do
	[ -f $candidate/ngx_http_echo_module.so ] && module=$candidate/ngx_http_echo_module.so
done
if [ -z "$module" ]; then
	echo "nginx.sh: the echo module is missing (Debian: nginx-light libnginx-mod-http-echo)" >&2
	exit 1
fi

mkdir -p "$dir/tmp"

# A certificate authority of its own and a server certificate for the loopback address.
if [ ! -f "$dir/server.pem" ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
		-subj '/CN=Benchmark CA' -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=localhost' \
		-keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
	printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >"$dir/san"
	openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
		-CAcreateserial -days 30 -extfile "$dir/san" -out "$dir/server.pem" 2>/dev/null
fi

# server PORT LISTEN_OPTIONS DELAY
server() {
	cat <<SERVER
	server {
		listen 127.0.0.1:$1 $2 backlog=4096;
		location / {
			echo_read_request_body;
			${3:+echo_sleep $3;}
			echo '{"messaging_product":"whatsapp","contacts":[{"input":"+34600000001","wa_id":"34600000001"}],"messages":[{"id":"wamid.\$request_id"}]}';
		}
	}
SERVER
}

cat >"$dir/nginx.conf" <<CONFIG
load_module $module;
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
worker_rlimit_nofile 16384;
events {
	worker_connections 8192;
}
http {
	access_log off;
	default_type application/json;
	server_tokens off;
	keepalive_requests 1000000000;
	keepalive_timeout 300s;
	client_body_buffer_size 16k;
	client_body_temp_path $dir/tmp/body;
	proxy_temp_path $dir/tmp/proxy;
	fastcgi_temp_path $dir/tmp/fastcgi;
	uwsgi_temp_path $dir/tmp/uwsgi;
	scgi_temp_path $dir/tmp/scgi;
	ssl_certificate $dir/server.pem;
	ssl_certificate_key $dir/server.key;
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_session_cache shared:tls:4m;
$(server "$port" "")
$(server $((port + 1)) ssl)
$(server $((port + 2)) "ssl http2")
$(server $((port + 3)) "" $answer_delay)
$(server $((port + 4)) ssl $answer_delay)
$(server $((port + 5)) "ssl http2" $answer_delay)
}
CONFIG

# stderr before the configuration is read would be the system's error log
exec nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log"
