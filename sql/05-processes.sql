/*
 * Between SQL and the processes: waking them, their counters, restarting them.
 */

CREATE FUNCTION @extschema@.wa_internal_wake(phone_number_id text, rank bigint) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake';
COMMENT ON FUNCTION @extschema@.wa_internal_wake(text, bigint) IS
'Tells the sender at COMMIT that a queue row of this number has become ready at this rank. Internal.';

CREATE FUNCTION @extschema@.wa_internal_wake_due(due_at timestamptz) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake_due';
COMMENT ON FUNCTION @extschema@.wa_internal_wake_due(timestamptz) IS
'Tells the sender at COMMIT that a deferred queue row becomes due then. Internal.';

/* What the sender's acceptance of messages reads: src/sender/store/acceptance.c. */
CREATE FUNCTION @extschema@.wa_internal_accepted_attempt(message_id bigint) RETURNS smallint
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_attempt';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_attempt(bigint) IS
'In a sender: the attempt of a message whose acceptance it is writing down; NULL otherwise. Internal.';

CREATE FUNCTION @extschema@.wa_internal_accepted_at(message_id bigint) RETURNS timestamptz
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_at';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_at(bigint) IS
'In a sender: when a message was accepted whose acceptance it is writing down; NULL otherwise. Internal.';

CREATE FUNCTION @extschema@.wa_internal_accepted_text(message_id bigint, what "char") RETURNS text
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_text';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_text(bigint, "char") IS
'In a sender: what Meta has said of a message whose acceptance it is writing down; NULL otherwise. Internal.';

/*
 * Tells the senders, at COMMIT, that what they keep in memory has changed.
 * Statement triggers: one note however many rows, and nothing else is done, so
 * a restore may fire them.
 */
CREATE FUNCTION @extschema@.wa_internal_config_changed() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_config_changed';
COMMENT ON FUNCTION @extschema@.wa_internal_config_changed() IS
'Trigger function: tells the senders at COMMIT to read tenants, numbers, assignments and pauses again. Internal.';

CREATE FUNCTION @extschema@.wa_internal_wake_launcher() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake_launcher';
COMMENT ON FUNCTION @extschema@.wa_internal_wake_launcher() IS
'Makes the launcher look again at COMMIT for databases that need senders. Internal.';

CREATE FUNCTION @extschema@.wa_internal_credentials_present(credential text DEFAULT 'access_token')
    RETURNS boolean
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_credentials_present';
COMMENT ON FUNCTION @extschema@.wa_internal_credentials_present(text) IS
'Whether the access_token, app_secret or webhook_verify_token is set. Internal.';

CREATE FUNCTION @extschema@.wa_internal_credential_problem(credential text) RETURNS text
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_credential_problem';
COMMENT ON FUNCTION @extschema@.wa_internal_credential_problem(text) IS
'Why the file of the access_token, app_secret or webhook_verify_token cannot be used; NULL if it can. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quote(value text) RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_quote';
COMMENT ON FUNCTION @extschema@.wa_internal_quote(text) IS
'The beginning of a value from outside, without control characters, as it may appear in an error. Internal.';

CREATE FUNCTION @extschema@.wa_internal_library_version() RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_library_version';
COMMENT ON FUNCTION @extschema@.wa_internal_library_version() IS
'The version of the library that this server has loaded. Internal.';

CREATE FUNCTION @extschema@.wa_internal_version_served(scripts text) RETURNS boolean
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_version_served';
COMMENT ON FUNCTION @extschema@.wa_internal_version_served(text) IS
'Whether a sender of this library works with SQL scripts of that version. Internal.';

CREATE FUNCTION @extschema@.wa_internal_preloaded() RETURNS boolean
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_preloaded';
COMMENT ON FUNCTION @extschema@.wa_internal_preloaded() IS
'Whether the library was loaded when the server started, without which nothing is sent. Internal.';

CREATE FUNCTION @extschema@.wa_internal_unserved_databases() RETURNS SETOF name
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_unserved_databases';
COMMENT ON FUNCTION @extschema@.wa_internal_unserved_databases() IS
'The databases of whatsapp_shared.databases in which a sender found no extension. Internal.';

CREATE FUNCTION @extschema@.wa_internal_sender_of(phone_number_id text, senders integer) RETURNS integer
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_sender_of';
COMMENT ON FUNCTION @extschema@.wa_internal_sender_of(text, integer) IS
'Which of so many senders sends from this number. Internal.';

CREATE FUNCTION @extschema@.wa_internal_sender_room(
    OUT wanted integer,
    OUT room integer,
    OUT processes integer
)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_sender_room';
COMMENT ON FUNCTION @extschema@.wa_internal_sender_room() IS
'If this server cannot run all its senders: how many are wanted, how many there is room for, and the least value of '
'max_worker_processes that suffices (NULL: none does). Else all NULL. Internal.';

CREATE FUNCTION @extschema@.wa_stats(
    OUT database name,
    OUT sender integer,
    OUT senders integer,
    OUT pid integer,
    OUT started_at timestamptz,
    OUT requests bigint,
    OUT accepted bigint,
    OUT failed bigint,
    OUT retried bigint,
    OUT throttled bigint,
    OUT uncertain bigint,
    OUT cycles bigint,
    OUT errors bigint,
    OUT in_flight integer,
    OUT connections integer,
    OUT last_cycle_at timestamptz
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_stats';
COMMENT ON FUNCTION @extschema@.wa_stats() IS
'One row for each sender of this database: its process, and its counters since the server started or the number of '
'senders changed.';

CREATE FUNCTION @extschema@.wa_internal_connections(OUT sender integer, OUT wanted integer, OUT possible integer)
RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_connections';
COMMENT ON FUNCTION @extschema@.wa_internal_connections() IS
'How many connections each running sender of this database would have to open over HTTP/1.1 by the settings, and how '
'many it can. Internal.';

CREATE FUNCTION @extschema@.wa_internal_histograms(
    OUT histogram text,
    OUT upper_bound double precision,
    OUT observations bigint,
    OUT sum double precision
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_histograms';
COMMENT ON FUNCTION @extschema@.wa_internal_histograms() IS
'Durations in seconds that the senders of this database have measured: for each histogram and bound how many were not '
'longer, and the sum of all. Internal.';

CREATE FUNCTION @extschema@.wa_internal_throttled(OUT reason text, OUT messages bigint)
RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_throttled';
COMMENT ON FUNCTION @extschema@.wa_internal_throttled() IS
'How often messages had to wait without losing an attempt, by reason, as wa_stats() counts it. Internal.';

CREATE FUNCTION @extschema@.wa_internal_clock(OUT ahead double precision, OUT seen_at timestamptz)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_clock';
COMMENT ON FUNCTION @extschema@.wa_internal_clock() IS
'By how many seconds this server''s clock is ahead of Meta''s (negative: behind), by the Date of a response to a '
'sender of this database, and when that was; NULL: there was none. Internal.';

CREATE FUNCTION @extschema@.wa_internal_snapshots(
    OUT pid integer,
    OUT is_standby boolean,
    OUT began_at timestamptz,
    OUT transactions bigint
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_snapshots';
COMMENT ON FUNCTION @extschema@.wa_internal_snapshots() IS
'The other processes whose transactions keep dead rows of this database: since when, and how many transactions have '
'begun since. is_standby: it speaks for a standby with hot_standby_feedback. Internal.';

CREATE FUNCTION @extschema@.wa_internal_disk_space(
    relation regclass, OUT place text, OUT size bigint, OUT free bigint
) RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_disk_space';
COMMENT ON FUNCTION @extschema@.wa_internal_disk_space(regclass) IS
'Size and free bytes of the file system of a table (data) and, if it is another one, of that of WAL (wal). Internal.';

CREATE FUNCTION @extschema@.wa_worker_restart() RETURNS integer
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_worker_restart';
COMMENT ON FUNCTION @extschema@.wa_worker_restart() IS
'Makes the senders of this database record what is on the wire, exit and start anew. Returns how many there are.';

/* When this commits, the launcher starts senders for this database if it is listed. */
SELECT @extschema@.wa_internal_wake_launcher();
