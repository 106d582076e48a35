package countersign.floor_test

import data.countersign.floor

# A call that the floor passes; each test says what is different about it.
given := {
	"call": {"tool": "refund_order"},
	"principal": {
		"tenant": "demo",
		"agent": "support-bot",
		"on_behalf_of": "alice@example.com",
		"actors": ["support-bot", "planner"],
	},
}

passes := {"verdict": "allow"}

reason(change) := answer.reason if {
	answer := floor.decision with input as object.union(given, change)
}

chain(length) := {"principal": {"actors": [actor |
	some n in numbers.range(1, length)
	actor := $"agent-{n}"
]}}

test_ordinary_call_passes if floor.decision == passes with input as given

test_agent_without_person_passes if {
	floor.decision == passes with input as object.union(given, {"principal": {"on_behalf_of": ""}})
}

test_chain_of_eight_passes if floor.decision == passes with input as object.union(given, chain(8))

test_chain_of_nine_is_blocked if reason(chain(9)) == "actor_chain_too_deep"

test_loop_is_blocked if {
	reason({"principal": {"actors": ["support-bot", "planner", "support-bot"]}}) == "actor_twice"
}

test_agent_for_itself_is_blocked if {
	reason({"principal": {"on_behalf_of": "support-bot"}}) == "acts_for_itself"
}

test_person_who_is_an_actor_is_blocked if {
	reason({"principal": {"on_behalf_of": "planner"}}) == "acts_for_itself"
}

test_reserved_tools_are_blocked[tool] if {
	some tool in ["countersign", "countersign_approve", "Countersign.approve", "__COUNTERSIGN"]
	reason({"call": {"tool": tool}}) == "reserved_tool"
}

test_name_inside_a_tool_passes if {
	floor.decision == passes with input as object.union(given, {"call": {"tool": "get_countersign_status"}})
}

test_several_violations_have_one_answer if {
	reason({"call": {"tool": "countersign"}, "principal": {"on_behalf_of": "planner"}}) == "acts_for_itself"
}

test_incomplete_calls_are_blocked[name] if {
	some name, change in {
		"no tool": {"call": {"tool": ""}},
		"no agent": {"principal": {"agent": ""}},
		"no tenant": {"principal": {"tenant": ""}},
	}
	reason(change) == "incomplete_call"
}

test_no_input_is_blocked if {
	floor.decision.reason == "incomplete_call" with input as {}
}
