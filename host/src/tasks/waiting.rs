use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// Requests of this host that wait for results, by task. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    tasks: HashMap<String, Vec<Waiter>>,
    /// How many there have been.
    count: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    tell: oneshot::Sender<String>,
}

/// A place among them, until it is dropped.
#[derive(Debug)]
pub struct Place {
    all: Waiting,
    task: String,
    number: u64,
    /// Hears the result, JSON.
    pub result: oneshot::Receiver<String>,
}

impl Waiting {
    /// Waits for the result of `task`.
    pub fn join(&self, task: &str) -> Place {
        let (tell, result) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.count += 1;
        let number = waiting.count;
        waiting.tasks.entry(task.to_owned()).or_default().push(Waiter { number, tell });
        drop(waiting);
        Place { all: self.clone(), task: task.to_owned(), number, result }
    }

    /// Whether anybody waits for it.
    pub fn knows(&self, task: &str) -> bool {
        self.lock().tasks.contains_key(task)
    }

    /// Whether nobody waits for anything.
    pub fn is_empty(&self) -> bool {
        self.lock().tasks.is_empty()
    }

    /// Tells those who wait for `task`.
    pub fn tell(&self, task: &str, result: &str) {
        for waiter in self.lock().tasks.remove(task).into_iter().flatten() {
            // Whoever has gone hears nothing.
            let _ = waiter.tell.send(result.to_owned());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.all.lock();
        if let Some(waiters) = waiting.tasks.get_mut(&self.task) {
            waiters.retain(|waiter| waiter.number != self.number);
            if waiters.is_empty() {
                waiting.tasks.remove(&self.task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_is_told_and_nobody_is_left_behind() {
        let waiting = Waiting::default();
        let (mut first, mut second, gone) = (waiting.join("a"), waiting.join("a"), waiting.join("a"));
        drop(gone);
        waiting.tell("b", "{}");
        assert!(waiting.knows("a") && first.result.try_recv().is_err());
        waiting.tell("a", "1");
        assert_eq!((first.result.try_recv().as_deref(), second.result.try_recv().as_deref()), (Ok("1"), Ok("1")));
        assert!(waiting.is_empty());
        drop(waiting.join("c"));
        assert!(waiting.is_empty());
    }
}
