//! The slots of one stage, and which of them an event is for.

use std::sync::Arc;

use super::{choice::Conditions, slot::Slot};
use crate::{event::Context, sandbox::World, telemetry::SlotName};

/// The slots of a stage: the stock guest's, and one for each rule. Cheap to clone; the table never changes while the
/// daemon runs, the guests in it do.
#[derive(Debug)]
pub struct Slots<W: World> {
    /// The stock one first, then those of the rules in their order.
    slots: Arc<[Arc<Slot<W>>]>,
    rules: Arc<[Conditions]>,
}

impl<W: World> Slots<W> {
    /// `stock` for what fits no rule.
    #[must_use]
    pub fn new(stock: Slot<W>, rules: impl IntoIterator<Item = (Conditions, Slot<W>)>) -> Self {
        let (rules, slots): (Vec<_>, Vec<_>) = rules.into_iter().map(|(rule, slot)| (rule, Arc::new(slot))).unzip();
        Self { slots: std::iter::once(Arc::new(stock)).chain(slots).collect(), rules: rules.into() }
    }

    /// The same table with other slots.
    #[must_use]
    pub(super) fn map(&self, other: impl FnMut(&Arc<Slot<W>>) -> Arc<Slot<W>>) -> Self {
        Self { slots: self.slots.iter().map(other).collect(), rules: Arc::clone(&self.rules) }
    }

    /// The one for what fits no rule.
    #[must_use]
    pub fn stock(&self) -> &Arc<Slot<W>> {
        &self.slots[0]
    }

    /// All of them: the stock one, then those of the rules in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Slot<W>>> {
        self.slots.iter()
    }

    /// The one with this name.
    #[must_use]
    pub fn get(&self, name: &SlotName) -> Option<&Arc<Slot<W>>> {
        self.slots.iter().find(|slot| slot.name() == name)
    }

    /// Whether there is more than one to choose from.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Position of the one that events of this context are for, as in [`iter`](Self::iter).
    #[must_use]
    pub fn choose(&self, context: &Context) -> usize {
        self.rules.iter().position(|rule| rule.hold(context)).map_or(0, |rule| rule + 1)
    }
}

impl<W: World> Clone for Slots<W> {
    fn clone(&self) -> Self {
        Self { slots: Arc::clone(&self.slots), rules: Arc::clone(&self.rules) }
    }
}

impl<'a, W: World> IntoIterator for &'a Slots<W> {
    type Item = &'a Arc<Slot<W>>;
    type IntoIter = std::slice::Iter<'a, Arc<Slot<W>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
