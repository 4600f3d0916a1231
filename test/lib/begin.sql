/*
 * How each pgTAP file begins: output as TAP, the extensions, and a transaction
 * that its end takes back.
 */
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off
SET client_min_messages = error;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS whatsapp_shared;
