# The floor: what no tenant's policy can allow. It is asked before the tenant's own policy, over the same input,
# and a call passes only when it answers "allow". Only the operator of the installation changes it.
#
# Keep it small, and about things that are wrong for everybody; what one tenant wants belongs into its own policy.
package countersign.floor

# Also the answer when there is no input at all: a floor that passed by default would be none.
default decision := {
	"verdict": "block",
	"reason": "incomplete_call",
	"message": "The call names no tool, no agent or no tenant.",
}

decision := {"verdict": "allow"} if {
	complete
	count(violations) == 0
}

decision := {"verdict": "block", "reason": first, "message": violations[first]} if {
	complete

	# Several may hold at once: the first by name, so that the answer is always the same.
	first := min(object.keys(violations))
}

complete if {
	input.call.tool != ""
	input.principal.agent != ""
	input.principal.tenant != ""
}

# Behind a long chain nobody can say any more who wanted this.
violations["actor_chain_too_deep"] := $"At most {data.floor.actors_max} agents may stand between a person and a call." if {
	count(input.principal.actors) > data.floor.actors_max
}

# An agent that delegates back to one that delegated to it hides where a request came from.
violations["actor_twice"] := "The same agent stands twice in the chain of delegation." if {
	some first, actor in input.principal.actors
	some second, other in input.principal.actors
	first < second
	actor == other
}

# Delegation needs two: an agent that names itself as the person lends itself a person's authority.
violations["acts_for_itself"] := "An agent cannot act on behalf of itself." if {
	input.principal.on_behalf_of in ({input.principal.agent} | {actor | some actor in input.principal.actors})
}

# A model that sees a tool of our name may take its answer for ours.
violations["reserved_tool"] := "Names of tools that begin with \"countersign\" are reserved." if {
	startswith(lower(trim_left(input.call.tool, "_-. ")), "countersign")
}
