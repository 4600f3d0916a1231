/* The functions of this script are installed by CREATE EXTENSION only. */

\echo Use "CREATE EXTENSION whatsapp_shared" to load this file. \quit
