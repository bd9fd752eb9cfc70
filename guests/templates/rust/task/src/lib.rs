//! {{name}}: an agent, which does tasks that somebody asks for.
//!
//! What stands here is an example to be replaced. It knows the SDK's types and no WebAssembly, so it runs under plain
//! `cargo test`; `component.rs` binds it to its world.

use aurora_guest::{Outcome, Task, TaskFailure, settings};
use serde::{Deserialize, Serialize};

#[cfg(target_family = "wasm")]
mod component;

/// What it is asked.
#[derive(Deserialize)]
struct Question {
    name: String,
}

/// What it answers.
#[derive(Serialize)]
struct Answer {
    greeting: String,
}

/// Does one task. It may be tried again after it was done, if the host died in between.
///
/// # Errors
/// `Permanent` where nothing will ever come of this input, `Retry` where it may come of it later.
pub fn run(task: &Task) -> Result<Outcome, TaskFailure> {
    // From `[tasks.agents.<name>.options]` of the site's configuration, or `[options]` of a case.
    let word = settings::text("word")?.unwrap_or_else(|| "Hello".to_owned());
    let question: Question = task.input()?;
    let greeting = format!("{word}, {}", question.name);
    Outcome::of(&Answer { greeting: greeting.clone() }, greeting)
}
