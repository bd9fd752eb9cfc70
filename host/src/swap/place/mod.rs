//! The task behind one slot. It owns what is known of the slot, and does one thing at a time: of several wishes the last
//! one wins, and those before it hear that.

mod open;
mod install;
mod rehearse;

use std::sync::Arc;

use tokio::{
    sync::mpsc,
    task::{self, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use super::{
    Refused, Shared,
    fit::{Bench, Fit, Fitted},
    history::{Event, History},
    record::{Installed, Named, Record},
    rehearsal::Rehearsal,
    view::View,
    watch::Stamp,
    wish::{Answer, By, Done, Order, Plan, Source, Wish},
};
use crate::{
    config,
    pipeline::{ProbationFate, Slot, Staged},
    sandbox::Guest,
    telemetry::Chain,
};

/// The task.
pub(super) struct Place<W: Staged> {
    slot: Arc<Slot<W>>,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    /// The present guest's.
    config: config::Guest,
    /// What the next guest is made by: what the configuration said when it was last read.
    latest: config::Guest,
    record: Record,
    /// What ran before, if it is still in memory.
    before: Option<Arc<Guest<W>>>,
    /// Whether what the slot itself would take back was made by settings or limits that hold no more.
    is_stale: bool,
    history: History,
    /// How the file of the configuration looked when it was last read.
    stamp: Stamp,
    /// Whether that file is looked at without being told to.
    watches: bool,
    /// What the configuration named in a wish that was overtaken, until it is known what overtook it.
    overtaken: Option<Overtaken>,
    fitting: Option<Fitting<W>>,
    /// What is wished for after it.
    next: Option<(Wish, Option<Answer>)>,
    rehearsal: Option<Rehearsing<W>>,
    fates: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    /// Whether the record is on disk.
    kept: bool,
}

/// What became of the guest with this digest.
type Told = (Arc<str>, ProbationFate);

/// What the configuration names, if that was looked at, and what came of a wish.
type Fitness<W> = (Option<Named>, Result<Fit<W>, Refused>);

/// A guest that is being fitted.
struct Fitting<W: Staged> {
    task: JoinHandle<Fitness<W>>,
    wish: Arc<Wish>,
    answer: Option<Answer>,
    /// Somebody wants another one meanwhile.
    superseded: bool,
    /// And another one has taken the place since.
    decided: bool,
}

/// A wish of the configuration that was dropped for somebody else's.
struct Overtaken {
    by: By,
    named: Option<Named>,
    /// Another guest has taken the place since.
    decided: bool,
}

/// A rehearsal, under way or over.
struct Rehearsing<W: Staged> {
    rehearsal: Rehearsal,
    /// Until it is promoted.
    candidate: Option<Box<Fitted<W>>>,
    plan: Plan,
}

impl<W: Staged> Place<W> {
    /// Follows orders until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                order = self.orders.recv() => match order {
                    Some(order) => self.follow(order).await,
                    None => break,
                },
                fitted = fitted(&mut self.fitting) => self.fitted(fitted).await,
                Some((digest, fate)) = self.fates.1.recv() => self.hear(&digest, fate).await,
                () = over(&mut self.rehearsal) => self.rehearsed().await,
            }
        }
    }

    async fn follow(&mut self, order: Order) {
        match order {
            Order::Install(wish, answer) => self.wish(wish, answer),
            Order::Configure(config) => {
                self.latest = *config;
                self.wish(Wish::configured(By::Signal), None);
            }
            Order::Look => self.look(),
            Order::RollBack(answer) => {
                if self.record.before.is_some() {
                    self.supersede("a roll-back was asked for meanwhile");
                }
                let done = self.roll_back().await;
                self.decide(done.is_ok());
                let _ = answer.send(done);
            }
            Order::Promote(answer) => {
                if self.rehearsal.as_ref().is_some_and(|rehearsing| rehearsing.candidate.is_some()) {
                    self.supersede("a promotion was asked for meanwhile");
                }
                let done = self.promote(By::Admin).await;
                self.decide(done.is_ok());
                let _ = answer.send(done);
            }
            Order::EndRehearsal(answer) => {
                let done = self.end_rehearsal().await;
                let _ = answer.send(done);
            }
            Order::Describe(answer) => {
                let _ = answer.send(self.view());
            }
            Order::History(answer) => {
                let _ = answer.send(self.history.newest());
            }
        }
    }

    /// Looks whether the configuration's file has changed. Not while something else is fitted: most often it was only
    /// touched, and nobody's wish should be dropped for that. It is looked at again right after.
    fn look(&mut self) {
        if !self.watches {
            return;
        }
        let stamp = Stamp::of(&self.latest.path);
        if stamp != self.stamp && self.fitting.is_none() {
            self.stamp = stamp;
            self.wish(Wish::configured(By::File), None);
        }
    }

    /// Begins to fit what is wished for, or waits for what is being fitted to end first.
    fn wish(&mut self, wish: Wish, answer: Option<Answer>) {
        // A rehearsal changes nothing, so it must not keep anybody from changing something.
        let installing = self.fitting.as_ref().filter(|fitting| !fitting.superseded).map(|fitting| &*fitting.wish);
        let mut before = installing.into_iter().chain(self.next.iter().map(|(wish, _)| wish));
        if wish.rehearse.is_some() && before.any(|wish| wish.rehearse.is_none()) {
            if self.next.is_none() {
                self.next = Some((wish, answer));
            } else if let Some(answer) = answer {
                let _ = answer.send(Err(Refused::Superseded("other guests wait for this slot; try again")));
            }
            return;
        }
        self.supersede("another guest was wanted for this slot meanwhile");
        if self.fitting.is_some() {
            self.next = Some((wish, answer));
            return;
        }
        let bench = Bench {
            sandbox: self.shared.sandbox.clone(),
            vault: self.shared.vault.clone(),
            metrics: self.slot.metrics().clone(),
            config: self.latest.clone(),
            changed: !same(&self.latest, &self.config),
            configured: self.record.configured.clone(),
            refused: self.record.refused.as_ref().and_then(|refused| refused.digest.clone()),
            present: self.slot.present(),
            installed: self.record.present.clone(),
        };
        let wish = Arc::new(wish);
        let task = {
            let wish = Arc::clone(&wish);
            task::spawn_blocking(move || {
                let mut configured = None;
                let fit = bench.fit(&wish, &mut configured);
                (configured, fit)
            })
        };
        self.fitting = Some(Fitting { task, wish, answer, superseded: false, decided: false });
    }

    /// Tells those who wanted another guest that they will not get it.
    fn supersede(&mut self, why: &'static str) {
        let waiting = self.next.take().map(|(wish, answer)| (wish.by, answer));
        let fitting = self.fitting.as_mut().filter(|fitting| !fitting.superseded).map(|fitting| {
            fitting.superseded = true;
            (fitting.wish.by, fitting.answer.take())
        });
        for (by, answer) in waiting.into_iter().chain(fitting) {
            tracing::info!(slot = %self.slot.name(), %by, why, "a guest is not installed");
            if let Some(answer) = answer {
                let _ = answer.send(Err(Refused::Superseded(why)));
            }
        }
    }

    /// Somebody's guest has taken the place, or not, while one of the configuration's was perhaps on its way.
    fn decide(&mut self, is_done: bool) {
        if let Some(fitting) = self.fitting.as_mut().filter(|fitting| fitting.superseded) {
            fitting.decided |= is_done;
        }
        if let Some(overtaken) = &mut self.overtaken {
            overtaken.decided |= is_done;
        }
    }

    /// Takes in a guest that was fitted, or why it was not.
    async fn fitted(&mut self, (configured, fit): Fitness<W>) {
        let Some(Fitting { wish, answer, superseded, decided, .. }) = self.fitting.take() else { return };
        let of_configuration = matches!(wish.source, Source::Configured);
        let known = self.record.clone();
        if superseded {
            if of_configuration {
                self.overtaken = Some(Overtaken { by: wish.by, named: configured, decided });
            }
        } else {
            // Even of a file that was refused: after a restart it is the guest that runs now that goes on.
            if let Some(named) = &configured {
                self.record.configured = named.clone();
                self.overtaken = None;
            }
            let done = match (fit, &wish.rehearse) {
                (Ok(Fit::Ready(fitted)), Some(plan)) => self.rehearse(fitted, plan.clone()).await,
                (Ok(Fit::Ready(fitted)), None) => Ok(self.install(*fitted).await),
                (Ok(Fit::Same), _) => Ok(self.done("it is what runs already".to_owned(), &self.record.present.digest)),
                (Err(refused), _) => Err(refused),
            };
            match &done {
                Ok(_) if of_configuration && self.record.refused.take().is_some() => self.slot.note(None),
                Ok(_) => self.decide(!of_configuration && wish.rehearse.is_none()),
                Err(refused) => self.refuse(&wish, refused, configured.as_ref()),
            }
            if let Some(answer) = answer {
                let _ = answer.send(done);
            }
        }
        // What overtook it has come to its end.
        let again = self.overtaken.take_if(|_| self.next.is_none()).and_then(|Overtaken { by, named, decided }| {
            match named.filter(|_| decided) {
                // Whoever put a guest there since did so after the file was changed: it goes on after a restart, too.
                Some(named) => self.record.configured = named,
                // It has changed nothing, so the configuration is as new as it was.
                None => return Some(by),
            }
            // But settings and limits are the configuration's alone.
            (!same(&self.latest, &self.config)).then_some(by)
        });
        if known.configured != self.record.configured || known.refused != self.record.refused {
            self.save(Vec::new()).await;
        }
        match (self.next.take(), again) {
            (Some((wish, answer)), _) => self.wish(wish, answer),
            (None, Some(by)) => self.wish(Wish::configured(by), None),
            (None, None) => self.look(),
        }
    }

    /// Writes down what happened: in the audit stream and in the slot's own history.
    fn note(&mut self, what: &str, about: &Installed, by: By, reason: String) {
        let Installed { digest, name, .. } = about;
        let details = format!("{} {name} {digest} by {by}: {reason}", self.slot.name());
        self.slot.metrics().changes(what).inc();
        self.shared.audit.record(&format!("guest-{what}"), details);
        self.history.add(Event {
            at: chrono::Utc::now().to_rfc3339(),
            what: what.to_owned(),
            digest: digest.clone(),
            name: name.clone(),
            by,
            reason,
        });
    }

    fn done(&self, done: String, guest: &str) -> Done {
        let slot = self.slot.name().to_string();
        Done { slot, done, present: self.record.present.digest.clone(), guest: guest.to_owned() }
    }

    fn view(&self) -> View {
        let Record { configured, present, before, refused } = self.record.clone();
        let pace = self.slot.pace();
        let why = match &refused {
            Some(refused) => format!("the configuration's file is refused: {}", refused.reason),
            None if present.digest == configured.digest => "the configuration names it".to_owned(),
            None if present.by == By::Probation => "the guest that the configuration names was taken back".to_owned(),
            None => format!("installed by {}; the configuration's file is as it was then", present.by),
        };
        View {
            slot: self.slot.name().to_string(),
            present,
            why,
            configured,
            before,
            kept: self.kept,
            on_probation: self.slot.is_on_probation(),
            events: pace.events(),
            faults: pace.faults(),
            ns_an_event: u64::try_from(pace.an_event().as_nanos()).unwrap_or(u64::MAX),
            installing: self.fitting.as_ref().map(|fitting| fitting.wish.by),
            rehearsal: self.rehearsal.as_ref().map(|rehearsing| rehearsing.rehearsal.report()),
            refused: refused.map(|refused| refused.reason),
        }
    }
}

/// Waits until what is being fitted is, for ever if nothing is.
async fn fitted<W: Staged>(fitting: &mut Option<Fitting<W>>) -> Fitness<W> {
    match fitting {
        Some(fitting) => match (&mut fitting.task).await {
            Ok(fitted) => fitted,
            Err(error) => (None, Err(Refused::Broken(Chain(&error).to_string()))),
        },
        None => std::future::pending().await,
    }
}

/// Waits until a rehearsal has ended by itself.
async fn over<W: Staged>(rehearsing: &mut Option<Rehearsing<W>>) {
    match rehearsing {
        Some(rehearsing) => rehearsing.rehearsal.over().await,
        None => std::future::pending().await,
    }
}

/// Whether a guest made by one is as one made by the other. Which events it gets is not its own affair.
fn same(one: &config::Guest, other: &config::Guest) -> bool {
    let own = |guest: &config::Guest| config::Guest { rules: Vec::new(), ..guest.clone() };
    own(one) == own(other)
}
