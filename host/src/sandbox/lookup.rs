//! `aurora:event/lookup`, as the site's table answers it. See `crate::intel`.

use super::{
    bindings::aurora::event::lookup::{self, Indicator, Known, Refusal},
    import::State,
};
use crate::intel;

impl lookup::Host for State {
    fn look_up(&mut self, indicators: Vec<Indicator>) -> Result<Vec<Option<Known>>, Refusal> {
        // None while the instance starts: a guest asks about events, and there are none yet.
        let (table, left) = self.lookup.as_mut().ok_or(Refusal::Unavailable)?;
        match left.checked_sub(indicators.len()) {
            Some(less) => *left = less,
            None => return Err(Refusal::Invalid(format!("a call may look up {} indicators", intel::LOOKUPS))),
        }
        // What is none of its type nobody can have told.
        let asked: Vec<Option<intel::Indicator>> =
            indicators.iter().map(|one| intel::Indicator::of(one.kind, &one.value).ok()).collect();
        let wanted: Vec<intel::Indicator> = asked.iter().flatten().cloned().collect();
        let mut found = table.look_up(&wanted).ok_or(Refusal::Unavailable)?.into_iter();
        Ok(asked.into_iter().map(|one| one.and_then(|_| found.next().flatten()).map(|known| seen(&known))).collect())
    }
}

fn seen(known: &intel::Known) -> Known {
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Known {
        sites: known.sites().into_iter().map(str::to_owned).collect(),
        first_ms: ms(known.first_ms),
        last_ms: ms(known.last_ms),
        expires_ms: ms(known.expires_ms),
        count: known.count,
        tlp: known.tlp,
    }
}
