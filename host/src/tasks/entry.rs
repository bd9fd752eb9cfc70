//! An entry of the stream of tasks, as whoever wants something done has added it.

use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use crate::{
    broker::redis_streams::{Named, RawEntry},
    event::{EntryId, is_source},
};

/// A task that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its entry.
    pub entry: EntryId,
    /// Its name.
    pub id: String,
    /// Whether who added it gave that. Else it is the id of its entry, which no other one has.
    pub is_named: bool,
    /// Whose it is.
    pub agent: String,
    /// What it is about, JSON.
    pub input: Vec<u8>,
}

/// An entry that is no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its entry.
    pub entry: EntryId,
    /// Its name, if that can be used; else its entry's id.
    pub id: String,
    /// By what it is known, if who added it has given a name that can be used.
    pub named: Option<Named>,
    /// Its agent, if that can be used.
    pub agent: String,
    /// Why.
    pub reason: String,
    /// The entry's names and values, JSON, as far as they fit.
    pub fields: String,
}

/// Whether `name` names an agent: `^[A-Za-z0-9_.-]{1,64}$`.
pub(crate) fn is_agent(name: &str) -> bool {
    is_source(name)
}

/// Whether `id` names a task: `^[A-Za-z0-9_.:-]{1,128}$`.
pub(crate) fn is_task_id(id: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    (1..=128).contains(&id.len()) && id.bytes().all(valid)
}

/// Of what is asked: the same of the same agent has the same, to the byte.
pub(super) fn digest(agent: &str, input: &[u8]) -> String {
    let digest = Sha256::new().chain_update(agent).chain_update(b"\0").chain_update(input).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Task {
    /// By what it is known, if who added it has named it.
    pub fn named(&self) -> Option<Named> {
        self.is_named.then(|| Named { task: self.id.clone(), digest: digest(&self.agent, &self.input) })
    }

    /// The task in `entry`, whose input has at most `most` bytes.
    pub fn read(entry: RawEntry, most: usize) -> Result<Self, Box<Unfit>> {
        let mut named: [Option<Vec<u8>>; 3] = Default::default();
        for pair in entry.fields.chunks_exact(2) {
            let place = match pair[0].as_slice() {
                b"task_id" => &mut named[0],
                b"agent" => &mut named[1],
                b"input" => &mut named[2],
                // Whoever adds tasks may note what else he likes.
                _ => continue,
            };
            *place = Some(pair[1].clone());
        }
        let [id, agent, input] = named;
        let text = |bytes: Option<Vec<u8>>| bytes.map(String::from_utf8).transpose();
        let (id, agent) = (text(id), text(agent));
        let reason = match (&id, &agent, &input) {
            (_, Ok(None), _) => "there is no field `agent`".to_owned(),
            (_, Err(_), _) => "the field `agent` is not UTF-8".to_owned(),
            (_, Ok(Some(agent)), _) if !is_agent(agent) => {
                "the field `agent` is no name: 1 to 64 of A-Z a-z 0-9 _ . -".to_owned()
            }
            (Err(_), ..) => "the field `task_id` is not UTF-8".to_owned(),
            (Ok(Some(id)), ..) if !is_task_id(id) => {
                "the field `task_id` is no id: 1 to 128 of A-Z a-z 0-9 _ . : -".to_owned()
            }
            (.., Some(input)) if input.len() > most => {
                format!("the field `input` has {} bytes, at most {most} are taken (tasks.max_payload)", input.len())
            }
            (.., Some(input)) => match is_json(input) {
                Ok(()) => String::new(),
                Err(error) => format!("the field `input` is not JSON: {error}"),
            },
            (.., None) => String::new(),
        };
        let usable =
            |text: Result<Option<String>, _>, is: fn(&str) -> bool| text.ok().flatten().filter(|text| is(text));
        let id = usable(id, is_task_id);
        let is_named = id.is_some();
        let id = id.unwrap_or_else(|| entry.id.to_string());
        let agent = usable(agent, is_agent).unwrap_or_default();
        if reason.is_empty() {
            let input = input.unwrap_or_else(|| b"{}".to_vec());
            return Ok(Self { entry: entry.id, id, is_named, agent, input });
        }
        let named = is_named.then(|| Named { task: id.clone(), digest: unfit_digest(&entry.fields) });
        Err(Box::new(Unfit { entry: entry.id, id, named, agent, reason, fields: shown(&entry.fields, most) }))
    }
}

/// As [`digest`], of what is no task; no task has the same, for no agent is called so.
fn unfit_digest(fields: &[Vec<u8>]) -> String {
    let last = |name: &[u8]| fields.chunks_exact(2).rfind(|pair| pair[0] == name).map(|pair| &pair[1][..]);
    let asked =
        [last(b"agent"), last(b"input")].map(|bytes| bytes.map(<[u8]>::escape_ascii).map(|text| text.to_string()));
    digest("no agent", format!("{asked:?}").as_bytes())
}

/// Whether `bytes` are JSON, in UTF-8 throughout.
pub(crate) fn is_json(bytes: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| error.to_string())
}

/// Names and values as JSON pairs, what is not UTF-8 replaced; of each value at most `most` bytes.
fn shown(fields: &[Vec<u8>], most: usize) -> String {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned();
    let pairs: Vec<_> = fields.chunks(2).map(|pair| pair.iter().map(text).collect::<Vec<_>>()).collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

    fn read(fields: Fields<'_>) -> Result<Task, Box<Unfit>> {
        let id = EntryId { ms: 7, sequence: 1 };
        let fields = fields.iter().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect();
        Task::read(RawEntry { id, fields }, 20)
    }

    #[test]
    fn an_agent_is_all_that_a_task_needs() {
        let task = read(&[(b"agent", b"triage"), (b"note", b"\xff")]).unwrap();
        assert_eq!((task.id.as_str(), task.agent.as_str(), &task.input[..]), ("7-1", "triage", &b"{}"[..]));
        let named = read(&[(b"task_id", b"a:1"), (b"agent", b"x"), (b"input", b"[1]")]).unwrap();
        assert_eq!((named.id.as_str(), &named.input[..]), ("a:1", &b"[1]"[..]));
    }

    #[test]
    fn a_task_is_known_by_the_name_it_was_given_and_by_what_is_asked_of_whom() {
        fn of(agent: &[u8], input: &[u8]) -> Named {
            read(&[(b"task_id", b"t"), (b"agent", agent), (b"input", input)]).unwrap().named().unwrap()
        }
        assert_eq!(read(&[(b"agent", b"x"), (b"input", b"1")]).unwrap().named(), None);
        let with_more = [&b"note"[..], b"2", b"agent", b"x", b"input", b"1", b"task_id", b"t"].map(<[u8]>::to_vec);
        let with_more = RawEntry { id: EntryId { ms: 8, sequence: 0 }, fields: with_more.into() };
        assert_eq!(Task::read(with_more, 20).unwrap().named(), Some(of(b"x", b"1")));
        assert_eq!(of(b"x", b"1").task, "t");
        for (agent, input) in [(b"x", b"2"), (b"y", b"1")] {
            assert_ne!(of(agent, input).digest, of(b"x", b"1").digest);
        }
    }

    #[test]
    fn what_is_no_task_says_why_and_keeps_the_names_that_can_be_used() {
        let cases: [(Fields<'_>, &str, &str); 7] = [
            (&[(b"task_id", b"t")], "no field `agent`", "t"),
            (&[(b"agent", b"\xff")], "`agent` is not UTF-8", "7-1"),
            (&[(b"agent", b"a b"), (b"task_id", b"t")], "`agent` is no name", "t"),
            (&[(b"agent", b"a"), (b"task_id", b"a b")], "`task_id` is no id", "7-1"),
            (&[(b"agent", b"a"), (b"task_id", b"\xff")], "`task_id` is not UTF-8", "7-1"),
            (&[(b"agent", b"a"), (b"input", b"{"), (b"task_id", b"t")], "`input` is not JSON", "t"),
            (&[(b"agent", b"a"), (b"input", b"\"\xff\"")], "not UTF-8 at byte 1", "7-1"),
        ];
        for (fields, reason, id) in cases {
            let unfit = read(fields).unwrap_err();
            assert!(unfit.reason.contains(reason), "{}", unfit.reason);
            assert_eq!(unfit.id, id);
        }
        fn digest_of(fields: Fields<'_>) -> String {
            read(fields).unwrap_err().named.unwrap().digest
        }
        let first = digest_of(&[(b"agent", b"a"), (b"input", b"{"), (b"task_id", b"t")]);
        assert_eq!(digest_of(&[(b"task_id", b"t"), (b"agent", b"a"), (b"note", b"2"), (b"input", b"{")]), first);
        assert_ne!(digest_of(&[(b"task_id", b"t"), (b"agent", b"a"), (b"input", b"[")]), first);
        assert_eq!(read(&[(b"agent", b"a b")]).unwrap_err().named, None);
        let large = read(&[(b"agent", b"a"), (b"input", &[b' '; 21])]).unwrap_err();
        assert!(large.reason.contains("21 bytes") && large.fields.len() < 80, "{large:?}");
    }

    #[test]
    fn what_is_nested_without_end_is_not_json() {
        assert!(is_json(&b"[".repeat(100_000)).is_err());
    }
}
