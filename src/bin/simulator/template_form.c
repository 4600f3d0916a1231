/*
 * template_form.c
 *	  What a template requires of a message, and the built-in templates.
 */
#include "bin/simulator/template_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/util.h"

/*
 * A bakery's notices to its suppliers and customers.  One with positional and
 * one with named parameters, a second language, a document header, a link, a
 * one-time password, marketing, and one that waits for approval.
 */
static const char defaults[] =
	"{\"templates\":["
	"{\"name\":\"pedido_nuevo\",\"language\":\"es\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Hola {{1}}, tiene un pedido nuevo {{2}} de {{3}} por {{4}},"
	" con entrega el {{5}}. Confirme con el botón, por favor.\"},"
	"{\"type\":\"FOOTER\",\"text\":\"Responda BAJA para no recibir más avisos\"},"
	"{\"type\":\"BUTTONS\",\"buttons\":["
	"{\"type\":\"QUICK_REPLY\",\"text\":\"Confirmar pedido\"}]}]},"

	"{\"name\":\"pedido_nuevo\",\"language\":\"en\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Hello {{1}}, you have a new order {{2}} from {{3}} of {{4}},"
	" to be delivered on {{5}}. Please confirm with the button.\"},"
	"{\"type\":\"BUTTONS\",\"buttons\":["
	"{\"type\":\"QUICK_REPLY\",\"text\":\"Confirm order\"}]}]},"

	"{\"name\":\"pedido_cambiado\",\"language\":\"es\",\"parameter_format\":\"NAMED\","
	"\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Hola {{proveedor}}, el pedido {{pedido}} ha cambiado:"
	" {{cambio}}. Gracias por tenerlo en cuenta.\",\"example\":{\"body_text_named_params\":["
	"{\"param_name\":\"proveedor\",\"example\":\"Harinas Norte\"},"
	"{\"param_name\":\"pedido\",\"example\":\"PO-17\"},"
	"{\"param_name\":\"cambio\",\"example\":\"200 kg\"}]}}]},"

	"{\"name\":\"pedido_listo\",\"language\":\"es\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Hola {{1}}, su pedido {{2}} está listo.\"}]},"

	"{\"name\":\"factura\",\"language\":\"es\",\"components\":["
	"{\"type\":\"HEADER\",\"format\":\"DOCUMENT\"},"
	"{\"type\":\"BODY\",\"text\":\"Hola {{1}}, le enviamos la factura {{2}} de su pedido.\"},"
	"{\"type\":\"BUTTONS\",\"buttons\":["
	"{\"type\":\"URL\",\"text\":\"Ver\",\"url\":\"https://example.es/f/{{1}}\"}]}]},"

	"{\"name\":\"aviso_horario\",\"language\":\"es\",\"components\":["
	"{\"type\":\"HEADER\",\"format\":\"TEXT\",\"text\":\"Aviso de {{1}}\"},"
	"{\"type\":\"BODY\",\"text\":\"Mañana abrimos a las {{1}} por fiesta local.\"}]},"

	"{\"name\":\"codigo_acceso\",\"language\":\"es\",\"category\":\"AUTHENTICATION\","
	"\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Su código de acceso es {{1}}.\"},"
	"{\"type\":\"BUTTONS\",\"buttons\":["
	"{\"type\":\"OTP\",\"otp_type\":\"COPY_CODE\",\"text\":\"Copiar código\"}]}]},"

	"{\"name\":\"oferta_semanal\",\"language\":\"es\",\"category\":\"MARKETING\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Esta semana: {{1}} con un {{2}} de descuento en tienda.\"},"
	"{\"type\":\"BUTTONS\",\"buttons\":[{\"type\":\"COPY_CODE\",\"text\":\"Copiar oferta\"}]}]},"

	"{\"name\":\"saludo\",\"language\":\"es\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Gracias por su visita.\"}]},"

	"{\"name\":\"pendiente_revision\",\"language\":\"es\",\"status\":\"PENDING\",\"components\":["
	"{\"type\":\"BODY\",\"text\":\"Todavía no aprobada.\"}]}"
	"]}";

json_t *
sim_template_defaults(void)
{
	json_error_t error;
	json_t *doc = json_loads(defaults, 0, &error);

	if (doc == NULL)
		httpd_die("built-in templates, byte %d: %s", error.position, error.text);
	return doc;
}

static void
free_names(SimForm *form)
{
	for (int i = 0; i < SIM_MAX_PARAMETERS; i++)
		free(form->parameter_names[i]);
}

void
sim_template_free(SimTemplate *template)
{
	free_names(&template->form);
	for (int i = 0; i < template->ncards; i++)
		free_names(&template->cards[i]);
	free(template->cards);
	json_decref(template->node);
	free(template);
}

/*
 * Counts the distinct {{...}} of a text.  names, if not NULL, has room for
 * SIM_MAX_PARAMETERS and gets a copy of each.  -1 if there are too many.
 */
static int
count_placeholders(const char *text, char **names)
{
	char *found[SIM_MAX_PARAMETERS];
	int count = 0;
	const char *open = text;

	while ((open = strstr(open, "{{")) != NULL)
	{
		const char *close = strstr(open, "}}");
		char *name;
		bool known = false;

		if (close == NULL)
			break;
		name = httpd_strdup(open + 2);
		name[close - open - 2] = '\0';
		for (int i = 0; i < count; i++)
			known = known || strcmp(found[i], name) == 0;
		open = close;
		if (known || count == SIM_MAX_PARAMETERS)
		{
			free(name);
			if (known)
				continue;
			count = -1;
			break;
		}
		found[count++] = name;
	}
	for (int i = 0; i < count; i++)
	{
		if (names != NULL)
			names[i] = found[i];
		else
			free(found[i]);
	}
	return count;
}

static SimHeaderFormat
header_format(const char *format)
{
	static const char *const names[] = {"",	   "TEXT",	   "IMAGE",	   "VIDEO",
										"GIF", "DOCUMENT", "LOCATION", "PRODUCT"};

	for (int i = SIM_HEADER_TEXT; i <= SIM_HEADER_PRODUCT; i++)
	{
		if (strcmp(format, names[i]) == 0)
			return (SimHeaderFormat) i;
	}
	return SIM_HEADER_NONE;
}

/* By the type in the listing; needs_parameter: its component cannot be left out. */
static const struct
{
	const char *type;
	SimButtonKind kind;
	bool needs_parameter;
} button_kinds[] = {
	{"QUICK_REPLY", SIM_BUTTON_QUICK_REPLY, false},
	{"URL", SIM_BUTTON_URL, false}, /* true if it has a variable */
	{"OTP", SIM_BUTTON_URL, true},
	{"COPY_CODE", SIM_BUTTON_COPY_CODE, true},
	{"FLOW", SIM_BUTTON_FLOW, true},
	{"CATALOG", SIM_BUTTON_CATALOG, false},
	{"MPM", SIM_BUTTON_PRODUCTS, true},
	{"ORDER_DETAILS", SIM_BUTTON_ORDER, true},
};

static bool
read_buttons(SimForm *form, const json_t *buttons)
{
	size_t i;
	json_t *button;

	json_array_foreach((json_t *) buttons, i, button)
	{
		const char *type = json_string_value(json_object_get(button, "type"));
		const char *url = json_string_value(json_object_get(button, "url"));

		if (type == NULL || i >= SIM_MAX_BUTTONS)
			return false;
		form->buttons[i].kind = SIM_BUTTON_OTHER;
		form->buttons[i].needs_parameter = url != NULL && strstr(url, "{{") != NULL;
		for (size_t k = 0; k < sizeof(button_kinds) / sizeof(button_kinds[0]); k++)
		{
			if (strcmp(button_kinds[k].type, type) != 0)
				continue;
			form->buttons[i].kind = button_kinds[k].kind;
			form->buttons[i].needs_parameter |= button_kinds[k].needs_parameter;
		}
		form->nbuttons = (int) i + 1;
	}
	return true;
}

/* A component that a template and a card have alike. */
static bool
read_part(SimForm *form, bool named, const char *type, const json_t *component)
{
	const char *text = json_string_value(json_object_get(component, "text"));

	if (strcmp(type, "HEADER") == 0)
	{
		const char *format = json_string_value(json_object_get(component, "format"));

		form->header = header_format(format != NULL ? format : "TEXT");
		if (form->header == SIM_HEADER_NONE)
			return false;
		form->header_parameters = 1;
		if (form->header == SIM_HEADER_TEXT)
			form->header_parameters = count_placeholders(text != NULL ? text : "", NULL);
		return form->header_parameters >= 0;
	}
	if (strcmp(type, "BODY") == 0)
	{
		if (text == NULL || form->body_text != NULL)
			return false;
		form->body_text = text;
		form->body_parameters = count_placeholders(text, named ? form->parameter_names : NULL);
		return form->body_parameters >= 0;
	}
	if (strcmp(type, "BUTTONS") == 0)
		return read_buttons(form, json_object_get(component, "buttons"));
	return true;
}

static bool
read_cards(SimTemplate *template, const json_t *cards)
{
	size_t i;
	json_t *card;

	if (!json_is_array(cards) || json_array_size(cards) > SIM_MAX_CARDS || template->cards != NULL)
		return false;
	template->cards = httpd_alloc0(SIM_MAX_CARDS * sizeof(SimForm));
	template->ncards = (int) json_array_size(cards);
	json_array_foreach((json_t *) cards, i, card)
	{
		size_t k;
		json_t *component;

		json_array_foreach(json_object_get(card, "components"), k, component)
		{
			const char *type = json_string_value(json_object_get(component, "type"));

			if (type == NULL || !read_part(&template->cards[i], template->named, type, component))
				return false;
		}
	}
	return true;
}

static bool
read_component(SimTemplate *template, const json_t *component)
{
	const char *type = json_string_value(json_object_get(component, "type"));

	if (type == NULL)
		return false;
	if (strcmp(type, "CAROUSEL") == 0)
		return read_cards(template, json_object_get(component, "cards"));
	if (strcmp(type, "LIMITED_TIME_OFFER") == 0)
	{
		template->offer_expires = json_is_true(
			json_object_get(json_object_get(component, "limited_time_offer"), "has_expiration"));
		return true;
	}
	return read_part(&template->form, template->named, type, component);
}

SimTemplate *
sim_template_read(json_t *node, char *error, size_t size)
{
	SimTemplate *template = httpd_alloc0(sizeof(SimTemplate));
	const char *format = json_string_value(json_object_get(node, "parameter_format"));
	size_t i;
	json_t *component;

	template->node = json_incref(node);
	template->name = json_string_value(json_object_get(node, "name"));
	template->language = json_string_value(json_object_get(node, "language"));
	template->status = json_string_value(json_object_get(node, "status"));
	template->category = json_string_value(json_object_get(node, "category"));
	template->named = format != NULL &&strcmp(format, "NAMED") == 0;
	if (template->status == NULL || template->category == NULL ||
		!json_is_string(json_object_get(node, "id")))
	{
		snprintf(error, size, "template \"%s\": id, status and category must be strings",
				 template->name);
		sim_template_free(template);
		return NULL;
	}
	json_array_foreach(json_object_get(node, "components"), i, component)
	{
		if (!read_component(template, component))
		{
			snprintf(error, size, "template \"%s\": component %zu is invalid", template->name, i);
			sim_template_free(template);
			return NULL;
		}
	}
	if (template->form.body_text == NULL)
	{
		snprintf(error, size, "template \"%s\" has no BODY component with a text", template->name);
		sim_template_free(template);
		return NULL;
	}
	template->body_only = json_array_size(json_object_get(node, "components")) == 1;
	return template;
}

const char *
sim_template_button_text(const SimTemplate *template, int index)
{
	size_t i;
	json_t *component;

	json_array_foreach(json_object_get(template->node, "components"), i, component)
	{
		const json_t *button =
			json_array_get(json_object_get(component, "buttons"), (size_t) index);

		if (button != NULL)
			return json_string_value(json_object_get(button, "text"));
	}
	return NULL;
}
