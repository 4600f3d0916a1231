/*
 * plan_size.c
 *	  For which size of our tables a sender's statements are planned.
 *
 * A sender plans its statements once, mostly when it starts, and keeps the plans.
 * The planner chooses for the size that a table has at that moment: the queue is
 * empty then, or VACUUM and ANALYZE have found it so, and what reads it from end to
 * end costs nothing.  A minute later it has a million rows.
 *
 * A plan for a large table does well on a small one; the reverse is the
 * catastrophe.  So the planner is told here that those of our tables that grow with
 * the messages have ten million rows at least, with indexes to match.  It is free in
 * everything else: which scans, which joins, in which order.  Statistics of columns
 * are what they are; no statement of a sender needs them to find its index.
 *
 * This is where the planner asks extensions about the size of a table.  It concerns
 * only this process, also inside of functions that a statement calls.
 */
#include "postgres.h"

#include "optimizer/plancat.h"
#include "utils/lsyscache.h"

#include "sender/store/plan_size.h"

#define ROWS 10000000.0
#define ROWS_PER_PAGE 50
#define ENTRIES_PER_PAGE 200
#define TREE_HEIGHT 2

static const char *const growing[] = {
	"whatsapp_messages", "whatsapp_queue",	  "whatsapp_attempts",
	"whatsapp_wamids",	 "whatsapp_reach",	  "whatsapp_windows",
	"whatsapp_contacts", "whatsapp_opt_outs", "whatsapp_inbound_messages",
};

static get_relation_info_hook_type prev_hook = NULL;
static Oid our_schema;

/*
 * These never have many rows, but a new one and a dead one for each claim: between two
 * rounds of VACUUM they are pages of what is gone.
 */
#define FEW_ROWS 1000.0
#define CHURNED_PAGES 10000

static const char *const churning[] = {"whatsapp_leases"};

/* An index has an entry for each row, or for each that its predicate lets in. */
static void
assume_index(IndexOptInfo *index, double rows)
{
	index->tuples = Max(index->tuples, rows);
	index->pages = Max(index->pages, (BlockNumber) (rows / ENTRIES_PER_PAGE));
	index->tree_height = Max(index->tree_height, TREE_HEIGHT);
}

static bool
is_among(Oid relid, const char *const *names, int n)
{
	const char *name;

	if (get_rel_namespace(relid) != our_schema)
		return false;
	name = get_rel_name(relid);
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void
assume(RelOptInfo *rel, double rows, BlockNumber pages)
{
	ListCell *lc;

	rel->tuples = Max(rel->tuples, rows);
	rel->pages = Max(rel->pages, pages);
	foreach (lc, rel->indexlist)
		assume_index(lfirst(lc), rel->tuples);
}

static void
assume_size(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	if (prev_hook)
		prev_hook(root, relid, inhparent, rel);
	if (is_among(relid, growing, lengthof(growing)))
		assume(rel, ROWS, (BlockNumber) (ROWS / ROWS_PER_PAGE));
	else if (is_among(relid, churning, lengthof(churning)))
		assume(rel, FEW_ROWS, CHURNED_PAGES);
}

void
wa_plan_size_assume(Oid schema)
{
	our_schema = schema;
	if (get_relation_info_hook == assume_size)
		return;
	prev_hook = get_relation_info_hook;
	get_relation_info_hook = assume_size;
}
