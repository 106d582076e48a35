# The demo shop's policy: what its support agent may do with four tools.
#
# It says what is allowed or needs a person. Everything else is blocked by the default, also a tool nobody has
# thought of, an argument of the wrong type, and a rule that could not be evaluated.
package countersign.policy

default decision := {
	"verdict": "block",
	"reason": "not_covered",
	"message": "No rule of this policy allows this call.",
}

decision := {"verdict": "allow"} if input.call.tool == "lookup_order"

# --- refund_order {order_id, amount}: small refunds of known orders at once, larger ones by a person ------------

decision := {"verdict": "allow", "labels": ["money-out"], "cost": refund_micros} if {
	refund_possible
	input.call.arguments.amount <= data.shop.refund_limit
}

decision := {
	"verdict": "escalate",
	"reason": "refund_over_limit",
	"message": $"Refunds up to {data.shop.refund_limit} {data.shop.currency} run at once; this one waits for a person.",
	"labels": ["money-out"],
	"cost": refund_micros,
	"approval": {
		"risk": refund_risk,
		"route": "refunds",
		"quorum": 1,
		"ttl": 3600,
		"effect": $"Pay {input.call.arguments.amount} {data.shop.currency} back to {input.facts.order.customer} for order {input.facts.order.id}.",
	},
} if {
	refund_possible
	input.call.arguments.amount > data.shop.refund_limit
}

decision := {
	"verdict": "block",
	"reason": "order_unknown",
	"message": "There is no such order. Look the order up first and refund it by its id.",
} if {
	input.call.tool == "refund_order"
	not order_known
}

decision := {
	"verdict": "block",
	"reason": "refund_invalid",
	"message": $"A refund is a number above 0 and at most the order's total of {input.facts.order.total} {data.shop.currency}.",
} if {
	input.call.tool == "refund_order"
	order_known
	not amount_valid
}

refund_possible if {
	input.call.tool == "refund_order"
	order_known
	amount_valid
}

# The order is an optional fact: facts.json gives an unknown one this empty id.
order_known if input.facts.order.id != ""

# Rego sorts null and false below every number: without is_number, `null <= 100` is true, and an amount that is no
# amount would be refunded. The registered schema of the tool refuses it too; a policy does not rely on that.
amount_valid if {
	is_number(input.call.arguments.amount)
	input.call.arguments.amount > 0
	input.call.arguments.amount <= input.facts.order.total
}

# What the call draws from a cost budget, in millionths, rounded: amounts have cents.
refund_micros := round(input.call.arguments.amount * 1000000) if amount_valid

default refund_risk := "medium"

# Just above the limit: may be decided in a chat, where the effect is all that is shown.
refund_risk := "low" if input.call.arguments.amount <= 2 * data.shop.refund_limit

refund_risk := "high" if input.call.arguments.amount > data.shop.high_risk_above

# --- send_email {to, subject, body}: to colleagues, and to people who are customers ----------------------------

decision := {"verdict": "allow", "labels": ["mail-out"]} if {
	input.call.tool == "send_email"
	recipient_known
}

decision := {
	"verdict": "block",
	"reason": "recipient_unknown",
	"message": $"Mail goes to one customer, or to one address at {data.shop.mail_domain}.",
} if {
	input.call.tool == "send_email"
	not recipient_known
}

# The fact is found by the exact address, so a list of addresses or "Ann <ann@...>" is nobody.
recipient_known if input.facts.recipient.customer

# One "@", and what follows it is our domain: "eve@evil.example,ann@shop.example" has two.
recipient_known if {
	[mailbox, domain] := split(input.call.arguments.to, "@")
	mailbox != ""
	trim(lower(mailbox), data.shop.mailbox_characters) == "" # nothing else in it, above all no line break
	domain == data.shop.mail_domain
}

# --- run_sql {database, query}: anything on a copy, only plain reads in production ------------------------------

decision := {"verdict": "allow"} if {
	input.call.tool == "run_sql"
	input.call.arguments.database in data.shop.sandbox_databases
}

decision := {"verdict": "allow", "labels": ["production-read"]} if {
	production_sql
	plain_read
}

decision := {
	"verdict": "block",
	"reason": "production_write",
	"message": "In production only a single SELECT is allowed. Run this on a sandbox database, or ask an operator.",
} if {
	production_sql
	not plain_read
}

# Whatever is not known as a sandbox is production, also a database that appears tomorrow.
production_sql if {
	input.call.tool == "run_sql"
	not input.call.arguments.database in data.shop.sandbox_databases
}

# One SELECT and nothing that writes or acts. This refuses early and says why; what makes it certain is a database
# user that can only read, for no text shows what a function called in a SELECT does.
plain_read if {
	query := lower(input.call.arguments.query)
	not contains(trim_right(query, "; \t\r\n"), ";")
	not contains(query, "--")
	not contains(query, "/*")

	# Words are what stands between blanks, once everything that separates words is a blank.
	words := [word | some word in split(strings.replace_n(data.sql.separators, query), " "); word != ""]
	words[0] == "select"
	every word in words { not word in data.sql.writing_words }
	not strings.any_prefix_match(words, data.sql.acting_prefixes)
}
