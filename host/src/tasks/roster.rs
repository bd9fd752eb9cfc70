//! The agents of this host, for who looks: which guest each is, and what becomes of its tasks. What its dead letters say is
//! for who has shown the token; a task's own words may stand in it.

use std::sync::Arc;

use serde::Serialize;

use super::{Agents, Means};
use crate::{
    admin::Readiness,
    broker::redis_streams::{Fields, Pool, newest},
    event::EntryId,
    mark::Mark,
    pipeline::Slot,
    sandbox::Agent,
    telemetry::TaskMetrics,
};

/// The agents. Cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<Inner>);

struct Inner {
    members: Vec<Member>,
    metrics: TaskMetrics,
    redis: Pool,
    /// Key of the stream of tasks that were given up.
    dead_letters: String,
    readiness: Readiness,
}

struct Member {
    agent: String,
    slot: Arc<Slot<Agent>>,
}

/// How an agent is, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Its name.
    pub agent: String,
    /// The place of its guest, as in labels and logs.
    pub slot: String,
    /// Name of its guest's file, without the ending.
    pub name: String,
    /// Digest of its guest.
    pub digest: String,
    /// `idle`, `working`, or `degraded` while tasks cannot be read or stored.
    pub state: &'static str,
    /// Attempts under way here.
    pub under_way: i64,
    /// Tasks completed here since the daemon began.
    pub completed: u64,
    /// Tasks given up here since then.
    pub failed: u64,
    /// The newest of those that were given up, whoever did it; none where the token was not shown, or Redis does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Vec<GivenUp>>,
}

/// A task that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// When, milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// Its id.
    pub task_id: String,
    /// Why; what TLP forbids to show is not in it.
    pub reason: String,
}

/// Dead letters that are looked at.
const LETTERS: usize = 64;

/// Dead letters that are shown of each agent.
const SHOWN: usize = 3;

/// Most characters of a text that is shown.
const TEXT: usize = 160;

impl Roster {
    /// Of the agents that were loaded.
    #[must_use]
    pub fn new(means: &Means, agents: &Agents, readiness: &Readiness) -> Self {
        let member =
            |(agent, slot): (&str, &Arc<Slot<Agent>>)| Member { agent: agent.to_owned(), slot: Arc::clone(slot) };
        Self(Arc::new(Inner {
            members: agents.iter().map(member).collect(),
            metrics: means.metrics.clone(),
            redis: means.redis.clone(),
            dead_letters: means.redis_config.key(&means.config.dead_letter),
            readiness: readiness.clone(),
        }))
    }

    /// How each is now; with what its newest dead letters say, if `with_letters`.
    pub async fn views(&self, with_letters: bool) -> Vec<AgentView> {
        let Inner { members, metrics, redis, dead_letters, readiness } = &*self.0;
        let letters = match with_letters && !members.is_empty() {
            true => newest(redis, std::slice::from_ref(dead_letters), LETTERS).await.ok(),
            false => None,
        };
        let letters: Option<Vec<_>> = letters.map(|pages| pages.into_iter().flatten().collect());
        let is_degraded = readiness.report().degraded.contains_key("tasks");
        let view = |member: &Member| {
            let (under_way, completed, failed) = metrics.of(&member.agent);
            let state = match under_way {
                _ if is_degraded => "degraded",
                0 => "idle",
                _ => "working",
            };
            let guest = member.slot.present();
            AgentView {
                agent: member.agent.clone(),
                slot: member.slot.name().to_string(),
                name: guest.name().to_owned(),
                digest: guest.digest_text().to_string(),
                state,
                under_way,
                completed,
                failed,
                dead_letters: letters.as_ref().map(|letters| of_agent(letters, &member.agent)),
            }
        };
        members.iter().map(view).collect()
    }
}

/// The newest of `letters`, which are newest first, that are of `agent`.
fn of_agent(letters: &[(EntryId, Fields)], agent: &str) -> Vec<GivenUp> {
    let text = |fields: &Fields, name: &str| {
        let text = fields.get(name).map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        text.chars().take(TEXT).collect::<String>()
    };
    let of = letters.iter().filter(|(_, fields)| fields.get("agent").is_some_and(|of| of == agent.as_bytes()));
    let given_up = |(id, fields): &(EntryId, Fields)| {
        let mark = fields.values().filter_map(|value| Mark::of(value)).max();
        let reason = mark.map_or_else(|| text(fields, "reason"), |mark| format!("hidden, {mark}"));
        GivenUp { time_ms: id.ms, task_id: text(fields, "task_id"), reason }
    };
    of.take(SHOWN).map(given_up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(ms: u64, agent: &str, reason: &str) -> (EntryId, Fields) {
        let fields = [("agent", agent), ("task_id", "t"), ("reason", reason)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        (EntryId { ms, sequence: 0 }, fields.into())
    }

    #[test]
    fn the_newest_letters_of_an_agent_are_shown_but_for_what_tlp_forbids() {
        let letters = [
            letter(9, "a", "seen under TLP:RED at the gate"),
            letter(8, "b", "of another"),
            letter(7, "a", &"x".repeat(1000)),
            letter(6, "a", "third"),
            letter(5, "a", "one too many"),
        ];
        let shown = of_agent(&letters, "a");
        assert_eq!(shown.iter().map(|one| one.time_ms).collect::<Vec<_>>(), [9, 7, 6]);
        assert_eq!((&*shown[0].reason, shown[1].reason.len()), ("hidden, TLP:RED", TEXT));
        assert!(of_agent(&letters, "c").is_empty());
    }
}
