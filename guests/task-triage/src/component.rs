//! The component's outside: the pure logic beside this file behind the bindings of `wit/task`.

wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/task"],
    world: "aurora:task/agent",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use exports::aurora::task::run::{Again, Failure, Guest, Outcome, Task};

struct Component;

impl Guest for Component {
    fn run(task: Task) -> Result<Outcome, Failure> {
        let Task { id, agent, attempt, attempts, submitted_ms, now_ms, input } = task;
        let task = aurora_guest::Task { id, agent, attempt, attempts, submitted_ms, now_ms, input };
        match crate::triage(&task) {
            Ok(done) => Ok(Outcome { output: done.output, summary: done.summary }),
            Err(aurora_guest::TaskFailure::Retry { after_ms, reason }) => {
                Err(Failure::Retry(Again { after_ms, reason }))
            }
            Err(aurora_guest::TaskFailure::Permanent(reason)) => Err(Failure::Permanent(reason)),
            Err(aurora_guest::TaskFailure::InvalidSettings(text)) => Err(Failure::InvalidSettings(text)),
        }
    }
}

export!(Component);
