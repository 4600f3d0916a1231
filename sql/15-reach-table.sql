/* Whom the account has written to first within the last 24 hours, for the messaging limit. */
CREATE TABLE @extschema@.whatsapp_reach (
    recipient  text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    reached_at timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.whatsapp_reach IS
'Recipients reached by templates outside a service window, each with the tenant that did and when: the account''s messaging limit counts them over a moving 24 hours. Kept only while Meta reports a limit.';
