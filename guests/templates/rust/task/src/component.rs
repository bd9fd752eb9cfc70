//! The component's outside: the logic of `lib.rs` behind the bindings of `aurora/wit/task`.

wit_bindgen::generate!({
    path: ["aurora/wit/event", "aurora/wit/task"],
    world: "aurora:task/agent",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::TaskFailure;
use exports::aurora::task::run::{Again, Failure, Guest, Outcome, Task};

struct Component;

impl Guest for Component {
    fn run(task: Task) -> Result<Outcome, Failure> {
        // Else a panic only tells functions. This is what the guest imports `aurora:event/log` for.
        aurora_guest::panics_to_log();
        let Task { id, agent, attempt, attempts, submitted_ms, now_ms, input } = task;
        let task = aurora_guest::Task { id, agent, attempt, attempts, submitted_ms, now_ms, input };
        match crate::run(&task) {
            Ok(done) => Ok(Outcome { output: done.output, summary: done.summary }),
            Err(TaskFailure::Retry { after_ms, reason }) => Err(Failure::Retry(Again { after_ms, reason })),
            Err(TaskFailure::Permanent(reason)) => Err(Failure::Permanent(reason)),
            Err(TaskFailure::InvalidSettings(text)) => Err(Failure::InvalidSettings(text)),
        }
    }
}

export!(Component);
