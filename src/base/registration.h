/*
 * registration.h
 *	  Whose rights registered code runs with.
 */
#ifndef WA_BASE_REGISTRATION_H
#define WA_BASE_REGISTRATION_H

/* What somebody else than the registrant may change. */
typedef enum WaRegisteredCode
{
	WA_CODE_OF_TABLE,	 /* expressions over its rows: the types of its columns */
	WA_CODE_OF_FUNCTION, /* its body */
	WA_CODE_OF_DEFINER	 /* the same of a SECURITY DEFINER function */
} WaRegisteredCode;

/* As it was recorded.  An OID is InvalidOid if there was no such role when a dump was restored. */
typedef struct WaRegistration
{
	const char *registrant;
	Oid registrant_oid;
	const char *owner; /* of the function, or of the table */
	Oid owner_oid;
} WaRegistration;

/* Why it must not run. */
typedef enum WaRegistrationState
{
	WA_REGISTRATION_VALID,
	WA_REGISTRATION_ROLE_GONE,
	WA_REGISTRATION_ROLE_REPLACED, /* or renamed to another's name */
	WA_REGISTRATION_NO_MEMBER,	   /* registrant and owner share no rights */
	WA_REGISTRATION_OWNER_CHANGED
} WaRegistrationState;

/*
 * What has become of a registration whose code is owned by owner_now.  If it is
 * valid, *runs_as is the role with the least rights among those who could have
 * written the code.  Reads the catalogs; raises nothing.
 */
extern WaRegistrationState wa_registration_check(const WaRegistration *registration,
												 WaRegisteredCode code, Oid owner_now,
												 Oid *runs_as);

#endif
