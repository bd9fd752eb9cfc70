//! The worlds that a guest may be written for, as one shape: one for each stage, and that of tasks.

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use super::{
    bindings::{
        aurora::event::types::Failure,
        exports::aurora::{
            federation::federate,
            inbound::judge,
            normalizer::normalize,
            router::route,
            task::run::{self, Failure as TaskFailure, Outcome, Task},
        },
    },
    import::State,
    trial::Weigh as _,
};
use crate::telemetry::Stage;

/// A world of `wit/`: which interface its guests export, and how it is called.
pub trait World: Sized + 'static {
    /// The stage that it serves.
    const STAGE: Stage;
    /// The interface that a guest must export.
    const EXPORT: &'static str;
    /// What goes in.
    type Input<'a>: Copy;
    /// What comes out, not yet checked.
    type Answer;
    #[doc(hidden)]
    type Indices: Clone + Send + Sync;
    #[doc(hidden)]
    type Exports: Send;

    #[doc(hidden)]
    fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices>;
    #[doc(hidden)]
    fn exports(
        indices: &Self::Indices,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Self::Exports>;
    #[doc(hidden)]
    fn call(
        exports: &Self::Exports,
        store: &mut Store<State>,
        input: Self::Input<'_>,
    ) -> wasmtime::Result<Result<Self::Answer, Failure>>;
    #[doc(hidden)]
    fn bytes(answer: &Self::Answer) -> u64;
    #[doc(hidden)]
    fn time(input: Self::Input<'_>) -> i64;
}

macro_rules! world {
    ($(#[$doc:meta])* $name:ident, $stage:ident, $export:literal, $interface:ident, $call:ident, $input:ident, $($time:ident).+, $answer:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl World for $name {
            const STAGE: Stage = Stage::$stage;
            const EXPORT: &'static str = $export;
            type Input<'a> = &'a $interface::$input<'a>;
            type Answer = $interface::$answer;
            type Indices = $interface::GuestIndices;
            type Exports = $interface::Guest;

            fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices> {
                $interface::GuestIndices::new(pre)
            }

            fn exports(
                indices: &Self::Indices,
                store: &mut Store<State>,
                instance: &Instance,
            ) -> wasmtime::Result<Self::Exports> {
                indices.load(store, instance)
            }

            fn call(
                exports: &Self::Exports,
                store: &mut Store<State>,
                input: Self::Input<'_>,
            ) -> wasmtime::Result<Result<Self::Answer, Failure>> {
                exports.$call(store, input.clone())
            }

            fn bytes(answer: &Self::Answer) -> u64 {
                answer.bytes()
            }

            /// The latest of its events.
            fn time(input: Self::Input<'_>) -> i64 {
                input.$($time).+.iter().copied().max().unwrap_or_default()
            }
        }
    };
}

world!(
    /// `aurora:normalizer/normalizer`
    Normalizer, Normalize, "aurora:normalizer/normalize", normalize, call_normalize, RawEvents, received_ms, Normalized
);
world!(
    /// `aurora:router/router`
    Router, Route, "aurora:router/route", route, call_route, OriginEvents, events.timestamp_ms, Routes
);
world!(
    /// `aurora:federation/federation-policy`
    Federation, Federate, "aurora:federation/federate", federate, call_federate, OriginEvents, events.timestamp_ms, Decisions
);
world!(
    /// `aurora:inbound/inbound-policy`
    Inbound, Inbound, "aurora:inbound/judge", judge, call_judge, Messages, received_ms, Verdicts
);

/// `aurora:task/agent`
#[derive(Debug)]
pub struct Agent;

/// What a guest says of a task. A failure is an answer like another one: it is about this task, and not about the guest.
pub type Attempted = Result<Outcome, TaskFailure>;

impl World for Agent {
    const STAGE: Stage = Stage::Task;
    const EXPORT: &'static str = "aurora:task/run";
    type Input<'a> = &'a Task<'a>;
    type Answer = Attempted;
    type Indices = run::GuestIndices;
    type Exports = run::Guest;

    fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices> {
        run::GuestIndices::new(pre)
    }

    fn exports(
        indices: &Self::Indices,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Self::Exports> {
        indices.load(store, instance)
    }

    fn call(
        exports: &Self::Exports,
        store: &mut Store<State>,
        input: Self::Input<'_>,
    ) -> wasmtime::Result<Result<Self::Answer, Failure>> {
        Ok(Ok(exports.call_run(store, input.clone())?))
    }

    fn bytes(answer: &Self::Answer) -> u64 {
        answer.bytes()
    }

    fn time(input: Self::Input<'_>) -> i64 {
        input.now_ms
    }
}
