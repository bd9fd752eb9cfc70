//! An agent that does what its task tells it to: `{"do":…}`.
//!
//! | `do` | |
//! |---|---|
//! | `echo` | answers `{"said":…,"attempt":…,"agent":…}` |
//! | `retry` | asks to be tried again, in `after_ms`, until attempt `until` |
//! | `permanent` | gives up |
//! | `trap` | traps, until attempt `until` |
//! | `spin` | never ends by itself, until attempt `until` |
//! | `garbage` | answers what is no JSON |

use aurora_guest::{Outcome, Task, TaskFailure};
use serde::{Deserialize, Serialize};

#[cfg(target_family = "wasm")]
mod component;

#[derive(Deserialize)]
struct Errand {
    r#do: String,
    #[serde(default)]
    say: String,
    /// The attempt that goes well; none does without.
    until: Option<u32>,
    #[serde(default)]
    after_ms: u32,
}

#[derive(Serialize)]
struct Done<'a> {
    said: &'a str,
    attempt: u32,
    agent: &'a str,
}

/// Does it.
///
/// # Errors
/// As it is told.
pub fn run(task: &Task) -> Result<Outcome, TaskFailure> {
    let errand: Errand = task.input()?;
    let is_time = errand.until.is_some_and(|until| task.attempt >= until);
    match errand.r#do.as_str() {
        "retry" if !is_time => {
            let reason = format!("attempt {} of {}", task.attempt, task.attempts);
            return Err(TaskFailure::Retry { after_ms: errand.after_ms, reason });
        }
        "permanent" => return Err(TaskFailure::Permanent("as it was told".to_owned())),
        "trap" if !is_time => panic!("as it was told"),
        "spin" if !is_time => loop {
            std::hint::spin_loop();
        },
        "garbage" => return Ok(Outcome { output: b"{".to_vec(), summary: String::new() }),
        _ => {}
    }
    Outcome::of(&Done { said: &errand.say, attempt: task.attempt, agent: &task.agent }, format!("said {}", errand.say))
}
