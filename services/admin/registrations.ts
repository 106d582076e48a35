/** Agents and tool servers: registered, shown, unregistered. */
import {
  type Agent,
  CONTROL_KEYS,
  decodeKey,
  type Tool,
  type Upstream,
} from '#contracts/control.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { mustExist, thing, things } from './things.ts';
import { checkUrl } from './urls.ts';

type Agents = Pick<AdminHandlers, 'listAgents' | 'getAgent' | 'putAgent' | 'deleteAgent'>;
type Upstreams = Pick<
  AdminHandlers,
  'listUpstreams' | 'getUpstream' | 'putUpstream' | 'deleteUpstream'
>;

export function agentHandlers({ view, record }: Deps): Agents {
  const change = changeBy(record);
  return {
    listAgents: async ({ tenant }) =>
      things<Agent>(view, CONTROL_KEYS.agent(tenant, ''), decodeKey),
    getAgent: async ({ tenant, path: { agent = '' } }) =>
      thing<Agent>(view, CONTROL_KEYS.agent(tenant, agent), agent),
    putAgent: async (asked) => {
      const { agent = '' } = asked.path;
      return change(asked, { kind: 'agent', action: 'put', target: agent, value: asked.body });
    },
    deleteAgent: async (asked) => {
      const { agent = '' } = asked.path;
      mustExist(view, CONTROL_KEYS.agent(asked.tenant, agent));
      return change(asked, { kind: 'agent', action: 'delete', target: agent, value: null });
    },
  };
}

export function upstreamHandlers({ view, record }: Deps): Upstreams {
  const change = changeBy(record);
  return {
    listUpstreams: async ({ tenant }) =>
      things<Upstream>(view, CONTROL_KEYS.upstream(tenant, ''), (name) => name),
    getUpstream: async ({ tenant, path: { name = '' } }) =>
      thing<Upstream>(view, CONTROL_KEYS.upstream(tenant, name), name),
    putUpstream: async (asked) => {
      const { name = '' } = asked.path;
      checkUrl(asked.body.url, 'anywhere', '/url');
      return change(asked, { kind: 'upstream', action: 'put', target: name, value: asked.body });
    },
    deleteUpstream: async (asked) => {
      const { name = '' } = asked.path;
      mustExist(view, CONTROL_KEYS.upstream(asked.tenant, name));
      const tools = things<Tool>(view, CONTROL_KEYS.tool(asked.tenant, name, ''), decodeKey).items;
      // Tools first: a tool without its server would be callable for a moment and lead nowhere.
      if (tools.length > 0) {
        const removed = tools.map(({ value }) => ({ name: value.name, upstream: name }));
        const value = { removed, tools: [] };
        await change(asked, { kind: 'tools', action: 'put', target: name, value });
      }
      return change(asked, { kind: 'upstream', action: 'delete', target: name, value: null });
    },
  };
}
