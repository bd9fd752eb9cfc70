//! A lane's places at the slots of one stage, and which events of a batch each is asked about.

use std::{borrow::Cow, collections::HashMap, ptr, sync::Arc};

use super::{seat::Seat, slots::Slots};
use crate::{event::Context, sandbox::World, telemetry::SlotName};

/// Owned by one lane.
#[derive(Debug)]
pub(super) struct Seats<W: World> {
    slots: Slots<W>,
    /// In the order of the slots.
    seats: Vec<Seat<W>>,
}

/// What one seat is asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Which seat.
    pub seat: usize,
    /// Positions of the events, in their order; none: all of them.
    members: Option<Vec<usize>>,
}

impl<W: World> Seats<W> {
    pub(super) fn new(slots: &Slots<W>) -> Self {
        Self { slots: slots.clone(), seats: slots.iter().map(|slot| Seat::new(Arc::clone(slot))).collect() }
    }

    /// What is asked from here on is another batch.
    pub(super) fn begin(&mut self) {
        self.seats.iter_mut().for_each(Seat::begin);
    }

    /// The one at `index`, and its slot's name.
    pub(super) fn at(&mut self, index: usize) -> (&mut Seat<W>, SlotName) {
        let seat = &mut self.seats[index];
        let name = seat.name().clone();
        (seat, name)
    }

    /// Who is to be asked about events of these contexts. Each seat at most once, and every event of one delivery is in
    /// the same group.
    pub(super) fn groups<'a>(&self, contexts: impl Iterator<Item = &'a Arc<Context>>) -> Vec<Group> {
        if !self.slots.has_rules() {
            return vec![Group { seat: 0, members: None }];
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.seats.len()];
        // Sources hand out one context for all that comes the same way, so few are looked at.
        let mut known = HashMap::new();
        let mut count = 0;
        for (event, context) in contexts.enumerate() {
            let seat = *known.entry(ptr::from_ref(&**context)).or_insert_with(|| self.slots.choose(context));
            members[seat].push(event);
            count += 1;
        }
        let asked = members.into_iter().enumerate().filter(|(_, members)| !members.is_empty());
        asked.map(|(seat, members)| Group { seat, members: (members.len() < count).then_some(members) }).collect()
    }
}

impl Group {
    /// Those of `all` that are in it.
    pub(super) fn of<'a, T: Clone>(&self, all: &'a [T]) -> Cow<'a, [T]> {
        match &self.members {
            None => Cow::Borrowed(all),
            Some(members) => members.iter().map(|&event| all[event].clone()).collect(),
        }
    }

    /// Positions of its events, unless it has all.
    pub(super) fn members(&self) -> Option<&[usize]> {
        self.members.as_deref()
    }

    /// Position of its event at `index`.
    pub(super) fn event(&self, index: usize) -> usize {
        self.members.as_ref().map_or(index, |members| members[index])
    }
}

/// The order in which `groups` speak of the events, unless it is that of the events.
pub(super) fn order(groups: &[Group]) -> Option<Vec<usize>> {
    groups.iter().map(Group::members).collect::<Option<Vec<_>>>().map(|members| members.concat())
}
