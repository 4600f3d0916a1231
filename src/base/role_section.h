/*
 * role_section.h
 *	  A section of code that runs as another role.
 */
#ifndef WA_BASE_ROLE_SECTION_H
#define WA_BASE_ROLE_SECTION_H

/* Nobody but a superuser can put anything into what this path leads to. */
#define WA_PINNED_PATH "pg_catalog, pg_temp"

typedef enum WaRoleTrust
{
	/*
	 * Triggers on our tables may run, which their owner has made and which may
	 * do whatever triggers do.
	 */
	WA_ROLE_WITH_TRIGGERS,

	/*
	 * A security-restricted operation: no deferred trigger, cursor, prepared
	 * statement, temporary table or LISTEN can outlive the section.
	 */
	WA_ROLE_RESTRICTED
} WaRoleTrust;

typedef struct WaRoleSection
{
	/* private to base/role_section.c */
	Oid save_userid;
	int save_sec_context;
	int guc_level;
} WaRoleSection;

/*
 * Runs what follows as "role", with this search_path, connected to SPI.  Sections
 * nest.  An error may leave a section: the abort of the (sub)transaction undoes
 * it, so whoever catches an error must abort one that was begun outside of it.
 * At the end, whatever settings were changed in the section are as before.
 */
extern void wa_role_section_begin(WaRoleSection *section, Oid role, WaRoleTrust trust,
								  const char *search_path);
extern void wa_role_section_end(WaRoleSection *section);

/*
 * Fires the caller's deferred triggers now, as the role that COMMIT would have
 * fired them as, and makes constraints immediate for the rest of the transaction.
 * Called before the first section in which code of others runs.  Raises what the
 * triggers raise.  Needs no SPI connection, and must run with the caller's
 * search_path.
 */
extern void wa_role_settle_deferred(void);

#endif
