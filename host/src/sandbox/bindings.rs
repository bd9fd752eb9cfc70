//! What wasmtime makes of `wit/`. One world with all stages and tasks, so that they share their types; a guest
//! exports the one interface of its stage, and only that one is looked up.

#![allow(clippy::all, missing_docs, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../wit/event", "../wit/normalizer", "../wit/router", "../wit/federation", "../wit/inbound", "../wit/state",
        "../wit/task"],
    inline: "
        package aurora:host@0.1.0;
        world stages {
            include aurora:event/guest@0.1.0;
            include aurora:event/informed@0.1.0;
            include aurora:state/stateful@0.1.0;
            export aurora:normalizer/normalize@0.1.0;
            export aurora:router/route@0.1.0;
            export aurora:federation/federate@0.1.0;
            export aurora:inbound/judge@0.1.0;
            export aurora:task/run@0.1.0;
        }
    ",
    world: "aurora:host/stages",
    ownership: Borrowing { duplicate_if_necessary: true },
});
