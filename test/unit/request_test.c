/*-------------------------------------------------------------------------
 *
 * request_test.c
 *	  What may be asked for, and what a refusal says.
 *
 * test/unit/request_test.c
 *-------------------------------------------------------------------------
 */
#include "request.h"
#include "tap.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define TEN_DIGITS "A number has ten digits, as in 5405514342, (540) 551-4342 or +15405514342."
#define NO_ZERO_OR_ONE "Neither area code nor exchange starts with 0 or 1."

/* What a macro below gives, its arguments may give again: the last one counts. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* A search that has everything but a criterion. */
#define SEARCH(...) {.ends_in = -1, .lca = -1, .quantity = 20, __VA_ARGS__}
/* An order that is fine. */
#define OPTIONS(...) {.site_id = "743", .attempts = 1, __VA_ARGS__}

static char sixty_xs[] =
"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/* --- numbers --- */

static void
test_accepted_numbers(void)
{
	static const char *const spellings[] = {
		"5405514342", "15405514342", "+15405514342", "(540) 551-4342",
		"540.551.4342", "540-551-4342", "540/551/4342", "540 551 4342",
		"+1 (540) 551-4342", "+1-540-551-4342", "1 540 551 4342",
		"(540)5514342", " \t\r\n5405514342 \t\r\n"
	};

	for (int i = 0; i < LENGTH(spellings); i++)
	{
		BwNumber	number = {{0}};
		BwProblem	problem;

		ok(bw_number_parse(spellings[i], &number, &problem),
		   "number %d of %d is accepted", i + 1, LENGTH(spellings));
		is_str(number.digits, "5405514342", "and read as ten digits");
	}
}

static void
refused_number(const char *text, const char *shown, const char *detail)
{
	BwNumber	number = {"untouched"};
	BwProblem	problem;
	char		message[256];

	snprintf(message, sizeof(message), "invalid telephone number: \"%s\"", shown);
	if (!ok(!bw_number_parse(text, &number, &problem), "\"%s\" is refused", shown))
		return;
	is_int(problem.kind, BW_PROBLEM_INVALID_TEXT, "as text that is no number");
	is_str(problem.message, message, "with itself in the message");
	is_str(problem.detail, detail, "and a reason");
	is_str(problem.hint, "", "without advice");
	is_str(number.digits, "untouched", "and nothing is written");
}

static void
test_refused_numbers(void)
{
	static const char *const malformed[] = {
		"", " ", "+", "()", "540551434", "54055143421", "+5405514342",
		"25405514342", "+445405514342", "115405514342", "540-551-CALL",
		"5405514342x9", "5405514342-", "-5405514342", "++15405514342",
		"(540 551-4342", "540) 551-4342", ")540( 551-4342", "5(405)514342",
		"((540)) 551-4342", "(540) (551) 4342", "(1540) 551-4342", "(540)",
		"540,551,4342", "540_551_4342", "540\t5514342", "tel:+15405514342"
	};
	static const char *const impossible[] = {
		"0405514342", "1405514342", "5400514342", "5401514342",
		"+10405514342", "(140) 551-4342"
	};

	for (int i = 0; i < LENGTH(malformed); i++)
		refused_number(malformed[i], malformed[i], TEN_DIGITS);
	for (int i = 0; i < LENGTH(impossible); i++)
		refused_number(impossible[i], impossible[i], NO_ZERO_OR_ONE);
	refused_number("\xd9\xa5\xd9\xa4\xd9\xa0\xd9\xa5\xd9\xa5", "\xd9\xa5\xd9\xa4\xd9\xa0\xd9\xa5\xd9\xa5",
				   TEN_DIGITS);
}

static void
test_null_number(void)
{
	BwNumber	number;
	BwProblem	problem;

	ok(!bw_number_parse(NULL, &number, &problem), "NULL is refused");
	is_int(problem.kind, BW_PROBLEM_NULL, "as a null");
	is_str(problem.message, "telephone number must not be null", "and called so");
}

/* A message shows the beginning of a long value, and no half character. */
static void
test_clipping(void)
{
	char		text[200];
	char		shown[200];

	refused_number(sixty_xs, sixty_xs, TEN_DIGITS);

	snprintf(text, sizeof(text), "%sy", sixty_xs);
	snprintf(shown, sizeof(shown), "%s...", sixty_xs);
	refused_number(text, shown, TEN_DIGITS);

	/* a character of two bytes right at the cut */
	snprintf(text, sizeof(text), "%.59s\xc3\xa9tail", sixty_xs);
	snprintf(shown, sizeof(shown), "%.59s...", sixty_xs);
	refused_number(text, shown, TEN_DIGITS);

	/* nowhere to cut */
	memset(text, '\xe9', 100);
	text[100] = '\0';
	refused_number(text, "...", TEN_DIGITS);
}

/* --- searches --- */

static void
accepted_search(BwSearch search, const char *what)
{
	BwProblem	problem = {0};

	if (!ok(bw_search_check(&search, &problem), "accepted: %s", what))
		printf("# %s\n", problem.message);
}

static void
test_accepted_searches(void)
{
	static const char *const order_by[] = {"fullNumber", "npaNxxx", "npaNxx", "areaCode"};
	static const char *const protected_numbers[] = {"NONE", "ONLY", "MIXED"};

	accepted_search((BwSearch) SEARCH(.area_code = "540"), "area code");
	accepted_search((BwSearch) SEARCH(.npanxx = "540551"), "NPA-NXX");
	accepted_search((BwSearch) SEARCH(.npanxxx = "5405514"), "NPA-NXX-X");
	accepted_search((BwSearch) SEARCH(.rate_center = "RALEIGH",.state = "NC"), "rate center");
	accepted_search((BwSearch) SEARCH(.city = "St. John's",.state = "nl"), "city");
	accepted_search((BwSearch) SEARCH(.state = "NC"), "state alone");
	accepted_search((BwSearch) SEARCH(.zip = "27606"), "ZIP");
	accepted_search((BwSearch) SEARCH(.zip = "27606-1234"), "ZIP + 4");
	accepted_search((BwSearch) SEARCH(.lata = "5"), "LATA of one digit");
	accepted_search((BwSearch) SEARCH(.lata = "12345"), "LATA of five digits");
	accepted_search((BwSearch) SEARCH(.local_vanity = "CALL"), "local vanity");
	accepted_search((BwSearch) SEARCH(.local_vanity = "C*_?"), "local vanity with wildcards");
	accepted_search((BwSearch) SEARCH(.local_vanity = "CALL",.state = "NC"), "local vanity in a state");
	accepted_search((BwSearch) SEARCH(.local_vanity = "CALL",.area_code = "919",.ends_in = 1),
					"local vanity at the end, in an area code");
	accepted_search((BwSearch) SEARCH(.toll_free_vanity = "FLOWERS",.order_by = "fullNumber"),
					"toll-free vanity");
	accepted_search((BwSearch) SEARCH(.toll_free_wildcard_pattern = "8**"), "any toll-free number");
	accepted_search((BwSearch) SEARCH(.toll_free_wildcard_pattern = "83*"), "some toll-free numbers");
	accepted_search((BwSearch) SEARCH(.area_code = "919",.city = "CARY",.state = "NC",.zip = "27511",
									  .lata = "426",.rate_center = "CARY"), "all about one place");
	accepted_search((BwSearch) SEARCH(.npanxx = "540551",.lca = 1), "neighbours of a prefix");
	accepted_search((BwSearch) SEARCH(.rate_center = "CARY",.state = "NC",.lca = 1),
					"neighbours of a rate center");
	accepted_search((BwSearch) SEARCH(.area_code = "540",.lca = 0,.ends_in = 0),
					"flags that are false get in nobody's way");
	accepted_search((BwSearch) SEARCH(.npanxx = "540551",.quantity = 1), "one number");
	accepted_search((BwSearch) SEARCH(.npanxx = "540551",.quantity = 5000), "5,000 numbers");
	for (int i = 0; i < LENGTH(order_by); i++)
		accepted_search((BwSearch) SEARCH(.npanxx = "540551",.order_by = order_by[i]), order_by[i]);
	for (int i = 0; i < LENGTH(protected_numbers); i++)
		accepted_search((BwSearch) SEARCH(.state = "NC",.protected_numbers = protected_numbers[i]),
						protected_numbers[i]);
}

static void
refused_search(BwSearch search, const char *message, const char *detail,
			   const char *hint)
{
	BwProblem	problem = {0};

	if (!ok(!bw_search_check(&search, &problem), "refused: %s", message))
		return;
	is_int(problem.kind, BW_PROBLEM_INVALID_PARAMETER, "as an invalid parameter");
	is_str(problem.message, message, "message");
	is_str(problem.detail, detail, "detail");
	is_str(problem.hint, hint, "hint");
}

/* Three arguments that are easily taken for each other. */
static void
test_refused_prefixes(void)
{
	static const char area_code[] =
	"An area code has 3 digits and does not start with 0 or 1.";
	static const char npanxx[] =
	"Area code and exchange are 6 digits, and neither starts with 0 or 1.";
	static const char npanxxx[] =
	"Area code, exchange and one more digit are 7 digits, and neither area "
	"code nor exchange starts with 0 or 1.";

	refused_search((BwSearch) SEARCH(.area_code = "54"), "invalid area_code: \"54\"", area_code, "");
	refused_search((BwSearch) SEARCH(.area_code = "140"), "invalid area_code: \"140\"", area_code, "");
	refused_search((BwSearch) SEARCH(.area_code = ""), "invalid area_code: \"\"", area_code, "");
	refused_search((BwSearch) SEARCH(.area_code = "540551"), "invalid area_code: \"540551\"",
				   area_code, "Use npanxx => '540551'.");
	refused_search((BwSearch) SEARCH(.area_code = "5405514"), "invalid area_code: \"5405514\"",
				   area_code, "Use npanxxx => '5405514'.");
	refused_search((BwSearch) SEARCH(.npanxx = "54055"), "invalid npanxx: \"54055\"", npanxx, "");
	refused_search((BwSearch) SEARCH(.npanxx = "540051"), "invalid npanxx: \"540051\"", npanxx, "");
	refused_search((BwSearch) SEARCH(.npanxx = "040551"), "invalid npanxx: \"040551\"", npanxx, "");
	refused_search((BwSearch) SEARCH(.npanxx = "540-551"), "invalid npanxx: \"540-551\"", npanxx, "");
	refused_search((BwSearch) SEARCH(.npanxx = "540"), "invalid npanxx: \"540\"",
				   npanxx, "Use area_code => '540'.");
	refused_search((BwSearch) SEARCH(.npanxx = "5405514"), "invalid npanxx: \"5405514\"",
				   npanxx, "Use npanxxx => '5405514'.");
	refused_search((BwSearch) SEARCH(.npanxxx = "54055143"), "invalid npanxxx: \"54055143\"", npanxxx, "");
	refused_search((BwSearch) SEARCH(.npanxxx = "5401514"), "invalid npanxxx: \"5401514\"", npanxxx, "");
	refused_search((BwSearch) SEARCH(.npanxxx = "540551"), "invalid npanxxx: \"540551\"",
				   npanxxx, "Use npanxx => '540551'.");
	/* the hint is for prefixes only */
	refused_search((BwSearch) SEARCH(.zip = "540"), "invalid zip: \"540\"",
				   "A ZIP code is five digits, or five digits, a dash and four digits.", "");
}

static void
test_refused_formats(void)
{
	static const char city[] =
	"A city has 1 to 100 characters, none of them control characters.";
	static const char state[] = "A state or province has two letters.";
	static const char zip[] =
	"A ZIP code is five digits, or five digits, a dash and four digits.";
	static const char lata[] = "A LATA has one to five digits.";
	static const char vanity[] = "A vanity has at least three letters, digits or wildcards.";
	static const char pattern[] =
	"A pattern is \"8\", then a digit or \"*\", then \"*\", such as \"8**\" or \"83*\".";
	static const char *const states[] = {"", "N", "NCX", "N1", "\xc3\xa9"};
	static const char *const zips[] = {"2760", "276061", "27606-", "27606-123", "27606-12345",
	"27606 1234", "2760x"};
	static const char *const latas[] = {"", "123456", "4x"};
	static const char *const vanities[] = {"", "AB", "A B C", "CALL!"};
	static const char *const patterns[] = {"", "8*", "8***", "7**", "83", "838", "*8*", "8x*", "800"};
	char		message[100];

	refused_search((BwSearch) SEARCH(.rate_center = "",.state = "NC"), "invalid rate_center: \"\"",
				   "A rate center has 1 to 100 characters, none of them control characters.", "");
	refused_search((BwSearch) SEARCH(.city = "",.state = "NC"), "invalid city: \"\"", city, "");
	refused_search((BwSearch) SEARCH(.city = "CARY\n",.state = "NC"), "invalid city: \"CARY\n\"", city, "");
	refused_search((BwSearch) SEARCH(.city = "CARY\x7f",.state = "NC"), "invalid city: \"CARY\x7f\"", city, "");
#define EACH(values, member, detail_text) \
	for (int i = 0; i < LENGTH(values); i++) \
	{ \
		snprintf(message, sizeof(message), "invalid " #member ": \"%s\"", values[i]); \
		refused_search((BwSearch) SEARCH(.member = values[i]), message, detail_text, ""); \
	}
	EACH(states, state, state);
	EACH(zips, zip, zip);
	EACH(latas, lata, lata);
	EACH(vanities, local_vanity, vanity);
	EACH(vanities, toll_free_vanity, vanity);
	EACH(patterns, toll_free_wildcard_pattern, pattern);
#undef EACH
	refused_search((BwSearch) SEARCH(.npanxx = "540551",.order_by = "fullnumber"),
				   "invalid order_by: \"fullnumber\"",
				   "Valid values are \"fullNumber\", \"npaNxxx\", \"npaNxx\" and \"areaCode\".", "");
	refused_search((BwSearch) SEARCH(.npanxx = "540551",.protected_numbers = "none"),
				   "invalid protected: \"none\"",
				   "Valid values are \"NONE\", \"ONLY\" and \"MIXED\".", "");
}

static void
test_lengths(void)
{
	char		text[300];
	char		message[200];

	memset(text, 'x', sizeof(text));
	text[100] = '\0';
	accepted_search((BwSearch) SEARCH(.city = text,.state = "NC"), "a city of 100 characters");
	accepted_search((BwSearch) SEARCH(.local_vanity = text), "a vanity of 100 characters");
	text[100] = 'x';
	text[101] = '\0';
	snprintf(message, sizeof(message), "invalid city: \"%s...\"", sixty_xs);
	refused_search((BwSearch) SEARCH(.city = text,.state = "NC"), message,
				   "A city has 1 to 100 characters, none of them control characters.", "");
	snprintf(message, sizeof(message), "invalid local_vanity: \"%s...\"", sixty_xs);
	refused_search((BwSearch) SEARCH(.local_vanity = text), message,
				   "A vanity has at least three letters, digits or wildcards.", "");

	/* characters are counted, not bytes */
	text[0] = '\0';
	for (int i = 0; i < 100; i++)
		strcat(text, "\xc3\xa9");
	accepted_search((BwSearch) SEARCH(.city = text,.state = "QC"), "a city of 100 accents");
}

static void
test_refused_searches(void)
{
	static const int quantities[] = {-1, 0, 5001, 2147483647};
	char		message[100];

	refused_search((BwSearch) SEARCH(), "a search needs at least one criterion", "",
				   "Use npanxx, area_code, npanxxx, rate_center and state, city and state, state, zip, "
				   "lata, local_vanity, toll_free_vanity or toll_free_wildcard_pattern.");
	refused_search((BwSearch) SEARCH(.order_by = "npaNxx",.protected_numbers = "ONLY",.lca = 1),
				   "a search needs at least one criterion", "",
				   "Use npanxx, area_code, npanxxx, rate_center and state, city and state, state, zip, "
				   "lata, local_vanity, toll_free_vanity or toll_free_wildcard_pattern.");
	for (int i = 0; i < LENGTH(quantities); i++)
	{
		snprintf(message, sizeof(message), "quantity %d is out of range", quantities[i]);
		refused_search((BwSearch) SEARCH(.npanxx = "540551",.quantity = quantities[i]), message,
					   "A quantity is between 1 and 5000.", "");
	}
}

/* Every rule about what stands together, with every argument it names. */
static const char prefix_hint[] = "Use one of area_code, npanxx and npanxxx.";
static const char lca_hint[] =
"Use lca with npanxx, with npanxxx, or with rate_center and state, and without other criteria.";
static const char rate_center_hint[] = "Rate centers of different states share names.";
static const char city_hint[] = "Cities of different states share names.";
static const char ends_in_hint[] = "Leave out ends_in, or add local_vanity.";
static const char vanity_hint[] = "Use local_vanity with area_code or state.";
static const char toll_free_hint[] = "A toll-free search takes order_by and quantity only.";
static const char order_by_hint[] =
"Use order_by with npanxx, npanxxx, rate_center, city, zip, toll_free_vanity or "
"toll_free_wildcard_pattern.";
static const struct
{
	BwSearch	search;
	const char *message;
	const char *hint;
}			combinations[] = {
	{SEARCH(.area_code = "540",.npanxx = "540551"), "area_code cannot be combined with npanxx", prefix_hint},
	{SEARCH(.area_code = "540",.npanxxx = "5405514"), "area_code cannot be combined with npanxxx", prefix_hint},
	{SEARCH(.npanxx = "540551",.npanxxx = "5405514"), "npanxx cannot be combined with npanxxx", prefix_hint},
	{SEARCH(.rate_center = "CARY"), "rate_center cannot be used without state", rate_center_hint},
	{SEARCH(.rate_center = "CARY",.npanxx = "919555"), "rate_center cannot be used without state", rate_center_hint},
	{SEARCH(.city = "CARY"), "city cannot be used without state", city_hint},
	{SEARCH(.area_code = "540",.ends_in = 1), "ends_in cannot be used without local_vanity", ends_in_hint},
	{SEARCH(.area_code = "540",.lca = 1), "lca cannot be combined with area_code", lca_hint},
	{SEARCH(.city = "CARY",.state = "NC",.lca = 1), "lca cannot be combined with city", lca_hint},
	{SEARCH(.zip = "27606",.lca = 1), "lca cannot be combined with zip", lca_hint},
	{SEARCH(.lata = "426",.lca = 1), "lca cannot be combined with lata", lca_hint},
	{SEARCH(.local_vanity = "CALL",.lca = 1), "lca cannot be combined with local_vanity", lca_hint},
	{SEARCH(.toll_free_vanity = "CALL",.lca = 1), "lca cannot be combined with toll_free_vanity", lca_hint},
	{SEARCH(.toll_free_wildcard_pattern = "8**",.lca = 1),
	"lca cannot be combined with toll_free_wildcard_pattern", lca_hint},
	{SEARCH(.npanxx = "540551",.order_by = "npaNxx",.lca = 1), "lca cannot be combined with order_by", lca_hint},
	{SEARCH(.state = "NC",.lca = 1), "lca cannot be combined with state", lca_hint},
	{SEARCH(.npanxx = "540551",.state = "VA",.lca = 1), "lca cannot be combined with state", lca_hint},
	{SEARCH(.rate_center = "CARY",.state = "NC",.npanxx = "919555",.lca = 1),
	"lca cannot be combined with npanxx", lca_hint},
	{SEARCH(.rate_center = "CARY",.state = "NC",.npanxxx = "9195551",.lca = 1),
	"lca cannot be combined with npanxxx", lca_hint},
	{SEARCH(.local_vanity = "CALL",.npanxx = "540551"), "local_vanity cannot be combined with npanxx", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.npanxxx = "5405514"), "local_vanity cannot be combined with npanxxx", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.rate_center = "CARY",.state = "NC"),
	"local_vanity cannot be combined with rate_center", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.city = "CARY",.state = "NC"),
	"local_vanity cannot be combined with city", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.zip = "27606"), "local_vanity cannot be combined with zip", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.lata = "426"), "local_vanity cannot be combined with lata", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.toll_free_vanity = "CALL"),
	"local_vanity cannot be combined with toll_free_vanity", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.toll_free_wildcard_pattern = "8**"),
	"local_vanity cannot be combined with toll_free_wildcard_pattern", vanity_hint},
	{SEARCH(.local_vanity = "CALL",.order_by = "npaNxx"), "local_vanity cannot be combined with order_by", vanity_hint},
	{SEARCH(.toll_free_vanity = "CALL",.area_code = "540"),
	"toll_free_vanity cannot be combined with area_code", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.npanxx = "540551"),
	"toll_free_vanity cannot be combined with npanxx", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.state = "NC"),
	"toll_free_vanity cannot be combined with state", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.zip = "27606"),
	"toll_free_vanity cannot be combined with zip", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.lata = "426"),
	"toll_free_vanity cannot be combined with lata", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.toll_free_wildcard_pattern = "8**"),
	"toll_free_vanity cannot be combined with toll_free_wildcard_pattern", toll_free_hint},
	{SEARCH(.toll_free_vanity = "CALL",.protected_numbers = "NONE"),
	"toll_free_vanity cannot be combined with protected", toll_free_hint},
	{SEARCH(.toll_free_wildcard_pattern = "8**",.npanxxx = "5405514"),
	"toll_free_wildcard_pattern cannot be combined with npanxxx", toll_free_hint},
	{SEARCH(.toll_free_wildcard_pattern = "8**",.city = "CARY",.state = "NC"),
	"toll_free_wildcard_pattern cannot be combined with city", toll_free_hint},
	{SEARCH(.toll_free_wildcard_pattern = "8**",.rate_center = "CARY",.state = "NC"),
	"toll_free_wildcard_pattern cannot be combined with rate_center", toll_free_hint},
	{SEARCH(.toll_free_wildcard_pattern = "8**",.protected_numbers = "ONLY"),
	"toll_free_wildcard_pattern cannot be combined with protected", toll_free_hint},
	{SEARCH(.area_code = "540",.order_by = "npaNxx"), "order_by cannot be combined with area_code", order_by_hint},
	{SEARCH(.state = "NC",.order_by = "npaNxx"), "order_by cannot be combined with state", order_by_hint},
	{SEARCH(.lata = "426",.order_by = "npaNxx"), "order_by cannot be combined with lata", order_by_hint}
};

static void
test_refused_combinations(void)
{
	for (int i = 0; i < LENGTH(combinations); i++)
		refused_search(combinations[i].search, combinations[i].message, "",
					   combinations[i].hint);
	accepted_search((BwSearch) SEARCH(.city = "CARY",.state = "NC",.order_by = "npaNxx"),
					"order_by with a city and its state");
}

/* --- what is sent --- */

/* "name=value name=value ..." */
static void
sends(BwSearch search, const char *expected)
{
	char		all[1000] = "";
	int			position = 0;
	const char *name;
	const char *value;
	char		scratch[32];

	while (bw_search_parameter(&search, &position, &name, &value, scratch))
	{
		size_t		len = strlen(all);

		snprintf(all + len, sizeof(all) - len, "%s%s=%s", len > 0 ? " " : "", name, value);
	}
	is_str(all, expected, "sent: %s", expected);
	ok(!bw_search_parameter(&search, &position, &name, &value, scratch), "the end stays the end");
}

static void
test_parameters(void)
{
	sends((BwSearch) SEARCH(.npanxx = "540551",.detail = true),
		  "npaNxx=540551 quantity=20 enableTNDetail=true");
	sends((BwSearch) SEARCH(.area_code = "919",.rate_center = "R",.city = "C & D",.state = "NC",.zip = "27606",
							.lata = "426",.protected_numbers = "MIXED",.quantity = 5000),
		  "areaCode=919 rateCenter=R city=C & D state=NC zip=27606 lata=426 protected=MIXED quantity=5000 "
		  "enableTNDetail=false");
	sends((BwSearch) SEARCH(.npanxxx = "5405514",.order_by = "fullNumber",.lca = 0),
		  "npaNxxx=5405514 orderBy=fullNumber LCA=false quantity=20 enableTNDetail=false");
	sends((BwSearch) SEARCH(.rate_center = "R",.state = "NC",.lca = 1),
		  "rateCenter=R state=NC LCA=true quantity=20 enableTNDetail=false");
	sends((BwSearch) SEARCH(.local_vanity = "CALL",.ends_in = 1),
		  "localVanity=CALL endsIn=true quantity=20 enableTNDetail=false");
	sends((BwSearch) SEARCH(.local_vanity = "CALL",.ends_in = 0,.lca = 0),
		  "localVanity=CALL endsIn=false quantity=20 enableTNDetail=false");
	sends((BwSearch) SEARCH(.toll_free_vanity = "CALL",.ends_in = 0,.lca = 0),
		  "tollFreeVanity=CALL quantity=20 enableTNDetail=false");
	sends((BwSearch) SEARCH(.toll_free_wildcard_pattern = "8**"),
		  "tollFreeWildCardPattern=8** quantity=20 enableTNDetail=false");
}

/* --- orders --- */

static void
test_order(void)
{
	static const char *const numbers[] = {"+15405514342", "5405515330", "(540) 227-8098"};
	BwOrderOptions options = OPTIONS();
	BwNumber	parsed[3];
	int			order[3];
	BwProblem	problem;

	ok(bw_order_check(numbers, 3, &options, parsed, order, &problem), "an order for three numbers");
	is_str(parsed[0].digits, "5405514342", "the first");
	is_str(parsed[1].digits, "5405515330", "the second");
	is_str(parsed[2].digits, "5402278098", "the third stays the third");
}

static void
refused_order(const char *const *numbers, int count, BwOrderOptions options,
			  BwProblemKind kind, const char *message, const char *detail, const char *hint)
{
	BwNumber	parsed[5];
	int			order[5];
	BwProblem	problem = {0};

	if (!ok(!bw_order_check(numbers, count, &options, parsed, order, &problem),
			"refused: %s", message))
		return;
	is_int(problem.kind, kind, "kind");
	is_str(problem.message, message, "message");
	is_str(problem.detail, detail, "detail");
	is_str(problem.hint, hint, "hint");
}

static void
test_refused_lists(void)
{
	static const char *const with_null[] = {"5405514342", NULL};
	static const char *const with_malformed[] = {"5405514342", "540551434"};
	static const char *const doubled[] = {"5405514342", "5405515330", "(540) 551-4342"};
	static const char *const thrice[] = {"5405515330", "15405515330", "5405514342", "+15405515330"};
	static const char *const fine[] = {"5405514342"};
	BwOrderOptions nowhere = {.attempts = 1};

	refused_order(fine, 0, (BwOrderOptions) OPTIONS(), BW_PROBLEM_INVALID_PARAMETER,
				  "an order needs at least one telephone number", "", "");
	refused_order(with_null, 2, (BwOrderOptions) OPTIONS(), BW_PROBLEM_NULL,
				  "telephone_numbers must not contain nulls", "The number at position 2 is null.", "");
	refused_order(with_malformed, 2, (BwOrderOptions) OPTIONS(), BW_PROBLEM_INVALID_TEXT,
				  "invalid telephone number: \"540551434\"", TEN_DIGITS, "");
	refused_order(doubled, 3, (BwOrderOptions) OPTIONS(), BW_PROBLEM_INVALID_PARAMETER,
				  "telephone number \"5405514342\" is listed twice", "It stands at positions 1 and 3.", "");
	refused_order(thrice, 4, (BwOrderOptions) OPTIONS(), BW_PROBLEM_INVALID_PARAMETER,
				  "telephone number \"5405515330\" is listed twice", "It stands at positions 1 and 2.", "");
	refused_order(fine, 1, (BwOrderOptions) OPTIONS(.back_order_requested = true),
				  BW_PROBLEM_INVALID_PARAMETER,
				  "back_order_requested cannot be combined with telephone_numbers", "",
				  "Only an order by criteria can wait for numbers.");
	refused_order(fine, 1, nowhere, BW_PROBLEM_INVALID_PARAMETER,
				  "an order needs a site", "", "Use site_id, or set the option \"site_id\" of the server.");
}

/* Numbers to be given back are checked as those of an order are. */
static void
test_disconnect(void)
{
	static const char *const numbers[] = {"+15405514342", "(540) 227-8098", "5405514342"};
	BwNumber	parsed[3];
	int			order[3];
	BwProblem	problem = {0};

	ok(bw_disconnect_check(numbers, 2, "moved 17", parsed, order, &problem),
	   "two numbers to give back");
	is_str(parsed[1].digits, "5402278098", "as Bandwidth writes them");
	ok(!bw_disconnect_check(numbers, 0, NULL, parsed, order, &problem), "none is refused");
	is_str(problem.message, "there is no telephone number to disconnect", "and says so");
	ok(!bw_disconnect_check(numbers, 3, NULL, parsed, order, &problem), "so is one twice");
	ok(!bw_disconnect_check(numbers, 1, "a_b", parsed, order, &problem),
	   "and an id that Bandwidth refuses");
}

/* As many as one request to Bandwidth may have. */
static void
test_long_list(void)
{
	static char texts[BW_QUANTITY_MAX][16];
	static const char *numbers[BW_QUANTITY_MAX];
	static BwNumber parsed[BW_QUANTITY_MAX];
	static int	order[BW_QUANTITY_MAX];
	BwOrderOptions options = OPTIONS();
	BwProblem	problem;

	for (int i = 0; i < BW_QUANTITY_MAX; i++)
	{
		/* neither ascending nor descending */
		snprintf(texts[i], sizeof(texts[i]), "919555%04d", (i * 7919) % 10000);
		numbers[i] = texts[i];
	}
	ok(bw_order_check(numbers, BW_QUANTITY_MAX, &options, parsed, order, &problem),
	   "5,000 numbers are no problem");
	is_str(parsed[BW_QUANTITY_MAX - 1].digits, texts[BW_QUANTITY_MAX - 1], "in their order");
	numbers[BW_QUANTITY_MAX - 1] = texts[2499];
	ok(!bw_order_check(numbers, BW_QUANTITY_MAX, &options, parsed, order, &problem),
	   "but one of them twice is");
	is_str(problem.detail, "It stands at positions 2500 and 5000.", "and both places are named");
}

static void
accepted_options(BwOrderOptions options, const char *what)
{
	BwProblem	problem = {0};

	if (!ok(bw_order_options_check(&options, &problem), "accepted: %s", what))
		printf("# %s\n", problem.message);
}

static void
test_accepted_options(void)
{
	char		accents[2 * BW_NAME_MAX + 1] = "";

	for (int i = 0; i < BW_NAME_MAX; i++)
		strcat(accents, "\xc3\xa9");
	accepted_options((BwOrderOptions) OPTIONS(), "a site");
	accepted_options((BwOrderOptions) OPTIONS(.peer_id = "546348"), "a SIP peer");
	accepted_options((BwOrderOptions) OPTIONS(.site_id = "999999999999999999"), "a site id of 18 digits");
	accepted_options((BwOrderOptions) OPTIONS(.site_id = "007"), "leading zeros");
	accepted_options((BwOrderOptions) OPTIONS(.name = "Tom & Jerry's <\"order\">"), "a name with markup");
	accepted_options((BwOrderOptions) OPTIONS(.name = accents), "a name of 50 accents");
	accepted_options((BwOrderOptions) OPTIONS(.customer_order_id = "Az 09-"), "a customer_order_id");
	accepted_options((BwOrderOptions) OPTIONS(.customer_order_id = "1234567890123456789012345678901234567890"),
					 "a customer_order_id of 40 characters");
	accepted_options((BwOrderOptions) OPTIONS(.attempts = 100), "100 attempts");
	accepted_options((BwOrderOptions) OPTIONS(.partial_allowed = true,.back_order_requested = true),
					 "flags, which have rules elsewhere");
}

static void
refused_options(BwOrderOptions options, const char *message, const char *detail)
{
	static const char *const numbers[] = {"5405514342"};

	refused_order(numbers, 1, options, BW_PROBLEM_INVALID_PARAMETER, message, detail, "");
}

static void
test_refused_options(void)
{
	static const char *const ids[] = {"", "0", "000", "-1", "7x3", " 743", "743 ", "7.3", "1234567890123456789"};
	static const char *const customer_ids[] = {"", "a_b", "a.b", "a\nb", "caf\xc3\xa9", "a'b"};
	static const int attempts[] = {-1, 0, 101, 2147483647};
	static const char name[] = "A name has 1 to 50 characters.";
	static const char customer_id[] = "It has 1 to 40 letters, digits, dashes and spaces.";
	char		message[200];

	for (int i = 0; i < LENGTH(ids); i++)
	{
		snprintf(message, sizeof(message), "invalid site_id: \"%s\"", ids[i]);
		refused_options((BwOrderOptions) OPTIONS(.site_id = ids[i]), message,
						"The id of a site is a positive integer.");
		snprintf(message, sizeof(message), "invalid peer_id: \"%s\"", ids[i]);
		refused_options((BwOrderOptions) OPTIONS(.peer_id = ids[i]), message,
						"The id of a SIP peer is a positive integer.");
	}
	refused_options((BwOrderOptions) OPTIONS(.name = ""), "invalid order name: \"\"", name);
	snprintf(message, sizeof(message), "invalid order name: \"%.51s\"", sixty_xs);
	refused_options((BwOrderOptions) OPTIONS(.name = sixty_xs + 9), message, name);
	refused_options((BwOrderOptions) OPTIONS(.name = "tab\there"), "invalid order name: \"tab\there\"",
					"A name has no control characters.");
	for (int i = 0; i < LENGTH(customer_ids); i++)
	{
		snprintf(message, sizeof(message), "invalid customer_order_id: \"%s\"", customer_ids[i]);
		refused_options((BwOrderOptions) OPTIONS(.customer_order_id = customer_ids[i]), message, customer_id);
	}
	snprintf(message, sizeof(message), "invalid customer_order_id: \"%.41s\"", sixty_xs);
	refused_options((BwOrderOptions) OPTIONS(.customer_order_id = sixty_xs + 19), message, customer_id);
	for (int i = 0; i < LENGTH(attempts); i++)
	{
		snprintf(message, sizeof(message), "attempts %d is out of range", attempts[i]);
		refused_options((BwOrderOptions) OPTIONS(.attempts = attempts[i]), message,
						"An order has between 1 and 100 attempts.");
	}
}

/* --- orders by criteria --- */

static void
test_accepted_order_searches(void)
{
	static const struct
	{
		BwSearch	criteria;
		bool		direct;
		bool		max_tier;
		bool		back_order;
		const char *what;
	}			cases[] = {
		{SEARCH(.npanxx = "540551"), false, false, false, "search, then order"},
		{SEARCH(.npanxx = "540551"), true, false, false, "Bandwidth's own type"},
		{SEARCH(.npanxx = "540551",.order_by = "npaNxx",.protected_numbers = "NONE"), false, true, false,
		"what only a search takes"},
		{SEARCH(.local_vanity = "CALL",.state = "NC"), false, false, false, "vanity in a state"},
		{SEARCH(.local_vanity = "CALL",.area_code = "919"), true, false, false, "direct vanity in an area code"},
		{SEARCH(.area_code = "919"), true, false, true, "back order by area code"},
		{SEARCH(.rate_center = "CARY",.state = "NC"), true, false, true, "back order by rate center"},
		{SEARCH(.city = "CARY",.state = "NC"), true, false, true, "back order by city"},
		{SEARCH(.state = "NC"), true, false, true, "back order by state"},
		{SEARCH(.zip = "27606"), true, false, true, "back order by ZIP"},
		{SEARCH(.lata = "426"), true, false, true, "back order by LATA"},
		{SEARCH(.toll_free_wildcard_pattern = "8**"), true, false, true, "toll-free back order"}
	};

	for (int i = 0; i < LENGTH(cases); i++)
	{
		BwOrderOptions options = OPTIONS(.back_order_requested = cases[i].back_order);
		BwProblem	problem = {0};
		int			tier = i % 6;

		if (!ok(bw_order_search_check(&cases[i].criteria, &options, cases[i].direct,
									  cases[i].max_tier ? &tier : NULL, &problem), "accepted: %s", cases[i].what))
			printf("# %s\n", problem.message);
	}
}

static void
refused_order_search(BwSearch criteria, BwOrderOptions options, bool direct, bool max_tier,
					 const char *message, const char *hint)
{
	BwProblem	problem = {0};
	int			tier = 0;

	if (!ok(!bw_order_search_check(&criteria, &options, direct, max_tier ? &tier : NULL, &problem),
			"refused: %s", message))
		return;
	is_str(problem.message, message, "message");
	is_str(problem.hint, hint, "hint");
}

static void
refused_tier(int tier)
{
	BwSearch	criteria = SEARCH(.npanxx = "540551");
	BwOrderOptions options = OPTIONS();
	BwProblem	problem = {0};
	char		message[60];

	snprintf(message, sizeof(message), "max_tier %d is out of range", tier);
	if (ok(!bw_order_search_check(&criteria, &options, false, &tier, &problem), "refused: %s", message))
	{
		is_str(problem.message, message, "message");
		is_str(problem.detail, "Tiers are numbered from 0 to 5.", "detail");
	}
}

static void
test_refused_order_searches(void)
{
	static const char direct[] =
	"Leave out direct: the numbers are then searched first and ordered one by one.";
	static const char vanity[] = "A direct order takes local_vanity with area_code alone.";
	static const char add_direct[] = "Add direct => true to have Bandwidth search and keep trying.";
	static const char back_order[] =
	"Bandwidth keeps trying only for orders by place, area code or toll-free wildcard.";
	BwOrderOptions plain = OPTIONS();
	BwOrderOptions waiting = OPTIONS(.back_order_requested = true);

	refused_order_search((BwSearch) SEARCH(.npanxx = "540551",.order_by = "npaNxx"), plain, true, false,
						 "direct cannot be combined with order_by", direct);
	refused_order_search((BwSearch) SEARCH(.npanxx = "540551",.protected_numbers = "NONE"), plain, true, false,
						 "direct cannot be combined with protected", direct);
	refused_order_search((BwSearch) SEARCH(.npanxx = "540551"), plain, true, true,
						 "direct cannot be combined with max_tier", direct);
	refused_order_search((BwSearch) SEARCH(.local_vanity = "CALL"), plain, true, false,
						 "local_vanity cannot be used without area_code", vanity);
	refused_order_search((BwSearch) SEARCH(.local_vanity = "CALL",.area_code = "919",.state = "NC"), plain,
						 true, false, "local_vanity cannot be combined with state", vanity);
	refused_order_search((BwSearch) SEARCH(.state = "NC"), waiting, false, false,
						 "back_order_requested cannot be used without direct", add_direct);
	refused_order_search((BwSearch) SEARCH(.npanxx = "540551"), waiting, true, false,
						 "back_order_requested cannot be combined with npanxx", back_order);
	refused_order_search((BwSearch) SEARCH(.npanxxx = "5405514"), waiting, true, false,
						 "back_order_requested cannot be combined with npanxxx", back_order);
	refused_order_search((BwSearch) SEARCH(.local_vanity = "CALL",.area_code = "919"), waiting, true, false,
						 "back_order_requested cannot be combined with local_vanity", back_order);
	refused_order_search((BwSearch) SEARCH(.toll_free_vanity = "CALL"), waiting, true, false,
						 "back_order_requested cannot be combined with toll_free_vanity", back_order);

	refused_order_search((BwSearch) SEARCH(.npanxx = "540551"), (BwOrderOptions) OPTIONS(.attempts = 2), true, false,
						 "direct cannot be combined with attempts", direct);
	refused_tier(-1);
	refused_tier(6);

	/* what holds for searches and for orders holds here too */
	refused_order_search((BwSearch) SEARCH(.quantity = 1), plain, false, false,
						 "a search needs at least one criterion",
						 "Use npanxx, area_code, npanxxx, rate_center and state, city and state, state, zip, "
						 "lata, local_vanity, toll_free_vanity or toll_free_wildcard_pattern.");
	refused_order_search((BwSearch) SEARCH(.npanxx = "540551",.quantity = 5001), plain, false, false,
						 "quantity 5001 is out of range", "");
	plain.site_id = NULL;
	refused_order_search((BwSearch) SEARCH(.npanxx = "540551"), plain, false, false,
						 "an order needs a site", "Use site_id, or set the option \"site_id\" of the server.");
}

static void
test_idempotency_key(void)
{
	char		key[2 * BW_IDEMPOTENCY_KEY_MAX + 2] = "";
	BwProblem	problem;

	ok(bw_idempotency_key_check(NULL, &problem), "no key");
	ok(bw_idempotency_key_check("k", &problem), "a key");
	for (int i = 0; i < BW_IDEMPOTENCY_KEY_MAX; i++)
		strcat(key, "\xc3\xa9");
	ok(bw_idempotency_key_check(key, &problem), "a key of 255 characters");
	ok(!bw_idempotency_key_check(strcat(key, "k"), &problem), "a longer one");
	is_str(problem.detail, "It has 1 to 255 characters.", "which is said");
	ok(!bw_idempotency_key_check("", &problem), "an empty one");
	is_str(problem.message, "invalid idempotency_key: \"\"", "and by name");
}

int
main(void)
{
	test_accepted_numbers();
	test_refused_numbers();
	test_null_number();
	test_clipping();
	test_accepted_searches();
	test_refused_prefixes();
	test_refused_formats();
	test_lengths();
	test_refused_searches();
	test_refused_combinations();
	test_parameters();
	test_order();
	test_refused_lists();
	test_disconnect();
	test_long_list();
	test_accepted_options();
	test_refused_options();
	test_idempotency_key();
	test_accepted_order_searches();
	test_refused_order_searches();
	return done_testing();
}
