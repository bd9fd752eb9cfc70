//! Shared indicators among the events of a batch, before route and federate see them.

use super::decided::{Decided, Part};
use crate::{intel::Matcher, sandbox::events::Events};

/// Looks up the observables of what this site's sources delivered; what is offered to other sites it looked at when it
/// came in, and what others share was not seen here.
pub(super) fn recognise(matcher: &mut Matcher, decided: &mut Decided) {
    let looked_at: Vec<usize> =
        decided.parts.iter().enumerate().filter(|(_, part)| part.is_ours()).map(|(index, _)| index).collect();
    // Taken out and put back: names of events are asked for while they change.
    let mut batch: Vec<Events> =
        looked_at.iter().map(|&part| std::mem::replace(&mut decided.parts[part].events, Events::none())).collect();
    let name = |list: usize, event: usize| {
        let Part { origin, position, .. } = &decided.parts[looked_at[list]];
        let fingerprint = decided.fingerprint(origin[event] as usize);
        fingerprint.event_id(position[event]).to_string()
    };
    let matched = matcher.pass(&mut batch.iter_mut().collect::<Vec<_>>(), name);
    for ((part, events), matched) in looked_at.into_iter().zip(batch).zip(matched) {
        let part = &mut decided.parts[part];
        (part.events, part.matched) = (events, matched);
    }
}
