/*
 * key.c
 *	  Whether a row has changed, and how the message about it is recognised.
 *
 * Keys are texts that mean the same in every session and after a restore:
 *
 *		shop.orders/order_placed:8841					a row inserted
 *		shop.orders/order_placed:8841:5d1357adea2920ed	a change of it
 *
 * The last part is a digest of the names, old and new values of the columns
 * that have changed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "notify/key.h"

/* In bytes: what wa_enqueue_message() takes. */
#define MAX_KEY 512

static bool
column_changed(TupleDesc desc, int attnum, HeapTuple old_row, HeapTuple new_row)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
	bool old_null;
	bool new_null;
	Datum old_value = heap_getattr(old_row, attnum, desc, &old_null);
	Datum new_value = heap_getattr(new_row, attnum, desc, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old_value, new_value, att->attbyval, att->attlen);
}

/*
 * The columns named by UPDATE OF, or all, that this update has changed.
 */
static Bitmapset *
changed_columns(const TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	const Trigger *t = trigger->tg_trigger;
	int n = t->tgnattr > 0 ? t->tgnattr : desc->natts;
	Bitmapset *changed = NULL;

	for (int i = 0; i < n; i++)
	{
		int attnum = t->tgnattr > 0 ? t->tgattr[i] : i + 1;

		if (!TupleDescAttr(desc, attnum - 1)->attisdropped &&
			column_changed(desc, attnum, trigger->tg_trigtuple, trigger->tg_newtuple))
			changed = bms_add_member(changed, attnum);
	}
	return changed;
}

static void
append_value(StringInfo buf, TupleDesc desc, int attnum, HeapTuple row)
{
	bool isnull;
	Datum value = heap_getattr(row, attnum, desc, &isnull);

	/* Neither mark occurs in what a type writes. */
	if (isnull)
		appendStringInfoChar(buf, '\x01');
	else
		appendStringInfoString(
			buf, wa_format_canonical(value, TupleDescAttr(desc, attnum - 1)->atttypid));
	appendStringInfoChar(buf, '\x02');
}

char *
wa_notify_row_key(const WaNotifyFiring *f)
{
	StringInfoData buf;
	int i = -1;

	if (f->plan->key_columns == NULL)
		return NULL;
	initStringInfo(&buf);
	while ((i = bms_next_member(f->plan->key_columns, i)) >= 0)
	{
		AttrNumber attnum = i + FirstLowInvalidHeapAttributeNumber;
		bool isnull;
		Datum value = heap_getattr(f->rows.new_row, attnum, f->rows.desc, &isnull);

		appendStringInfo(
			&buf, "%s%s", buf.len > 0 ? "," : "",
			wa_format_canonical(value, TupleDescAttr(f->rows.desc, attnum - 1)->atttypid));
	}
	return buf.data;
}

static uint64
hash_text(const StringInfoData *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text->data, text->len, seed);
}

bool
wa_notify_has_changed(const TriggerData *trigger)
{
	return !bms_is_empty(changed_columns(trigger));
}

/* A digest of which columns have changed from what to what. */
static char *
change_key(const TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	Bitmapset *changed = changed_columns(trigger);
	StringInfoData buf;
	int attnum = -1;

	initStringInfo(&buf);
	while ((attnum = bms_next_member(changed, attnum)) >= 0)
	{
		appendStringInfo(&buf, "%s\x02", NameStr(TupleDescAttr(desc, attnum - 1)->attname));
		append_value(&buf, desc, attnum, trigger->tg_trigtuple);
		append_value(&buf, desc, attnum, trigger->tg_newtuple);
	}
	return psprintf("%016llx", (unsigned long long) hash_text(&buf, 0));
}

text *
wa_notify_key(const WaNotifyFiring *f)
{
	const WaNotification *n = f->plan->registered;
	char *row = wa_notify_row_key(f);
	StringInfoData key;

	if (row == NULL)
		return NULL;
	initStringInfo(&key);
	appendStringInfo(&key, "%s/%s:%s", n->relation, n->name, row);
	if (f->is_update)
		appendStringInfo(&key, ":%s", change_key(f->trigger));
	if (key.len > MAX_KEY)
		return cstring_to_text(psprintf("%s:%016llx%016llx", n->name,
										(unsigned long long) hash_text(&key, 0),
										(unsigned long long) hash_text(&key, 1)));
	return cstring_to_text_with_len(key.data, key.len);
}
