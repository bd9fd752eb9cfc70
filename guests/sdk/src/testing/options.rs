use std::{cell::RefCell, collections::BTreeMap};

use super::during::during;

thread_local! {
    static OPTIONS: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// What the settings answer on this thread.
pub(crate) fn option(key: &str) -> Option<String> {
    OPTIONS.with_borrow(|options| options.get(key).cloned())
}

/// Runs `test` with these settings, key and JSON text, on this thread.
pub fn with_options<T>(options: BTreeMap<String, String>, test: impl FnOnce() -> T) -> T {
    during(&OPTIONS, options, test)
}
