/* What webhook_foreign.sql says of webhooks taken in one by one holds beside others, too. */
\set many 1
\ir webhook_foreign.sql
