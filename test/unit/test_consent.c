/*
 * What a recipient allows.
 */
#include "wa_c.h"

#include "common/consent.h"
#include "tap.h"

#define HOUR INT64_C(3600000000)

static void
test_category(void)
{
	ok(wa_template_category_is_marketing("MARKETING"), "marketing is marketing");
	ok(wa_template_category_is_marketing("marketing"), "however it is written");
	ok(!wa_template_category_is_marketing("UTILITY"), "utility is not");
	ok(!wa_template_category_is_marketing("AUTHENTICATION"), "nor is authentication");
	ok(wa_template_category_is_marketing("UNKNOWN"), "what Meta does not tell may be");
	ok(wa_template_category_is_marketing(NULL), "and so may a template that is not known");
}

static void
test_opt_outs(void)
{
	WaOptOuts opt_outs = {0};

	ok(!wa_opt_outs_concern(opt_outs, true), "who has opted out of nothing gets marketing");
	wa_opt_outs_add(&opt_outs, "marketing");
	ok(wa_opt_outs_concern(opt_outs, true), "who has opted out of it does not");
	ok(!wa_opt_outs_concern(opt_outs, false), "but all else");
	wa_opt_outs_add(&opt_outs, "all");
	ok(wa_opt_outs_concern(opt_outs, true), "all is marketing");
	ok(wa_opt_outs_concern(opt_outs, false), "and the rest");
}

static void
test_window(void)
{
	TimestampTz wrote = 1000 * HOUR;

	ok(wa_service_window_is_open(wrote, wrote), "who has just written may be written to");
	ok(wa_service_window_is_open(wrote, wrote + 24 * HOUR - 1), "for a day");
	ok(!wa_service_window_is_open(wrote, wrote + 24 * HOUR), "and not longer");
}

int
main(void)
{
	test_category();
	test_opt_outs();
	test_window();
	return done_testing();
}
