use std::{collections::HashMap, sync::Arc};

use crate::event::Context;

/// Contexts seen, each with its lane, so that entries that came the same way share one.
#[derive(Debug, Default)]
pub(crate) struct Origins(HashMap<Arc<Context>, usize>);

/// Contexts remembered. Beyond it all are forgotten and learnt again: collectors write them, so their number is not ours
/// to trust.
const REMEMBERED: usize = 16 * 1024;

impl Origins {
    /// `context` and its lane; `lane_of` is asked once for each context.
    pub fn get(&mut self, context: Context, lane_of: impl FnOnce(&Context) -> usize) -> (Arc<Context>, usize) {
        if let Some((context, &lane)) = self.0.get_key_value(&context) {
            return (Arc::clone(context), lane);
        }
        let lane = lane_of(&context);
        let context = Arc::new(context);
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(Arc::clone(&context), lane);
        (context, lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_came_the_same_way_share_a_context_and_a_bounded_number_is_remembered() {
        let of = |source: usize| Context { source: source.to_string(), ..Context::default() };
        let mut origins = Origins::default();
        let (first, lane) = origins.get(of(0), |_| 3);
        let (again, same) = origins.get(of(0), |_| unreachable!("it is known"));
        assert!(Arc::ptr_eq(&first, &again) && (lane, same) == (3, 3));
        for source in 0..=REMEMBERED {
            origins.get(of(source), |_| 0);
        }
        assert!(origins.0.len() <= REMEMBERED);
    }
}
