use std::{cell::RefCell, thread::LocalKey};

/// Puts what was there before back, also when a test panics.
struct Before<S: Default + 'static>(&'static LocalKey<RefCell<S>>, S);

impl<S: Default + 'static> Drop for Before<S> {
    fn drop(&mut self) {
        self.0.set(std::mem::take(&mut self.1));
    }
}

/// Runs `test` while `place` holds `there`, on this thread.
pub(super) fn during<S: Default + 'static, T>(
    place: &'static LocalKey<RefCell<S>>,
    there: S,
    test: impl FnOnce() -> T,
) -> T {
    let _before = Before(place, place.replace(there));
    test()
}
