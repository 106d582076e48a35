package countersign.policy_test

import data.countersign.policy

# One call of the support agent; each test says what is different about it.
call(tool, arguments) := object.union(given, {"call": {"tool": tool, "arguments": arguments}})

given := {
	"call": {"upstream": "shop", "schema": "valid"},
	"facts": {
		"order": {"id": "", "customer": "", "total": 0},
		"recipient": {"customer": false},
	},
}

order := {"order": {"id": "A-1001", "customer": "ann@customer.example", "total": 5000}}

refund(amount) := object.union(
	call("refund_order", {"order_id": "A-1001", "amount": amount}),
	{"facts": order},
)

mail(to) := call("send_email", {"to": to, "subject": "Hello", "body": "..."})

customer(to) := object.union(mail(to), {"facts": {"recipient": {"customer": true}}})

sql(database, query) := call("run_sql", {"database": database, "query": query})

# The tests hold for this limit, whatever data.json says today.
limit := 100

answer(call) := [decision.verdict, object.get(decision, "reason", "")] if {
	decision := policy.decision with input as call with data.shop.refund_limit as limit
}

test_reading_is_allowed if answer(call("lookup_order", {"order_id": "A-1001"})) == ["allow", ""]

test_unknown_tool_is_blocked if answer(call("wipe_disk", {})) == ["block", "not_covered"]

test_tool_name_is_exact if answer(call("Lookup_Order", {})) == ["block", "not_covered"]

test_refunds[name] if {
	some name, [amount, expected] in {
		"small": [20, ["allow", ""]],
		"exactly the limit": [100, ["allow", ""]],
		"a cent above the limit": [100.01, ["escalate", "refund_over_limit"]],
		"the whole order": [5000, ["escalate", "refund_over_limit"]],
		"more than the order": [5001, ["block", "refund_invalid"]],
		"nothing": [0, ["block", "refund_invalid"]],
		"less than nothing": [-20, ["block", "refund_invalid"]],
		"null": [null, ["block", "refund_invalid"]],
		"false": [false, ["block", "refund_invalid"]],
		"true": [true, ["block", "refund_invalid"]],
		"text": ["20", ["block", "refund_invalid"]],
		"text with a gap": ["5 000", ["block", "refund_invalid"]],
		"a list": [[20], ["block", "refund_invalid"]],
	}
	answer(refund(amount)) == expected
}

test_refund_without_amount_is_blocked if {
	without := object.union(
		call("refund_order", {"order_id": "A-1001"}),
		{"facts": order},
	)
	answer(without) == ["block", "refund_invalid"]
}

test_refund_of_unknown_order_is_blocked if {
	answer(call("refund_order", {"order_id": "nope", "amount": 20})) == ["block", "order_unknown"]
}

test_held_refund_says_what_would_happen if {
	policy.decision.approval == {
		"risk": "medium",
		"route": "refunds",
		"quorum": 1,
		"ttl": 3600,
		"effect": "Pay 500 EUR back to ann@customer.example for order A-1001.",
	} with input as refund(500) with data.shop.refund_limit as limit
}

test_large_refund_is_of_high_risk if {
	policy.decision.approval.risk == "high" with input as refund(1001) with data.shop.refund_limit as limit
}

test_refund_costs_what_it_pays if policy.decision.cost == 19990000 with input as refund(19.99)

test_mail[name] if {
	some name, [mailing, expected] in {
		"to a colleague": [mail("bob@shop.example"), ["allow", ""]],
		"to a customer": [customer("ann@customer.example"), ["allow", ""]],
		"to a stranger": [mail("eve@evil.example"), ["block", "recipient_unknown"]],
		"to two": [mail("eve@evil.example,bob@shop.example"), ["block", "recipient_unknown"]],
		"to a domain that ends like ours": [mail("eve@evilshop.example"), ["block", "recipient_unknown"]],
		"to a mailbox with a header in it": [mail("bob\nBcc: eve@shop.example"), ["block", "recipient_unknown"]],
		"to a domain alone": [mail("@shop.example"), ["block", "recipient_unknown"]],
		"to nobody": [call("send_email", {}), ["block", "recipient_unknown"]],
		"to a list": [mail(["bob@shop.example"]), ["block", "recipient_unknown"]],
	}
	answer(mailing) == expected
}

test_sql[name] if {
	some name, [database, query, expected] in {
		"read in production": ["production", "SELECT id FROM orders WHERE id = 'A-1001';", ["allow", ""]],
		"drop in production": ["production", "DROP TABLE orders", ["block", "production_write"]],
		"drop after a comment": ["production", "/* x */ drop table orders", ["block", "production_write"]],
		"drop behind a read": ["production", "SELECT 1; DROP TABLE orders", ["block", "production_write"]],
		"a comment in a read": ["production", "SELECT 1 -- x", ["block", "production_write"]],
		"a read that writes": ["production", "SELECT * INTO copy FROM orders", ["block", "production_write"]],
		"a write under a name": ["production", "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", ["block", "production_write"]],
		"a write after other blanks": ["production", "SELECT 1\n\tUNION\u000bDELETE FROM orders", ["block", "production_write"]],
		"a write in parentheses": ["production", "SELECT(1),(DROP)", ["block", "production_write"]],
		"a column named like a write": ["production", "SELECT updated_at FROM orders", ["allow", ""]],
		"several lines": ["production", "\n  select id,\n total from orders ;\n", ["allow", ""]],
		"another statement": ["production", "EXPLAIN SELECT 1", ["block", "production_write"]],
		"nothing": ["production", "", ["block", "production_write"]],
		"a function that acts": ["production", "SELECT pg_sleep(100)", ["block", "production_write"]],
		"no query": ["production", null, ["block", "production_write"]],
		"drop in a sandbox": ["staging", "DROP TABLE orders", ["allow", ""]],
		"drop in an unknown database": ["prod2", "DROP TABLE orders", ["block", "production_write"]],
		"drop in no database": [null, "DROP TABLE orders", ["block", "production_write"]],
	}
	answer(sql(database, query)) == expected
}
