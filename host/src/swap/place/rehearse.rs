//! Guests that are rehearsed for a slot.

use super::{
    super::{
        Refused,
        fit::Fitted,
        rehearsal::{Report, Rule},
        wish::{By, Done, Plan},
    },
    Place, Rehearsing,
};
use crate::pipeline::Staged;

impl<W: Staged> Place<W> {
    /// Begins a rehearsal, in place of one that there may be.
    pub(super) async fn rehearse(&mut self, fitted: Box<Fitted<W>>, plan: Plan) -> Result<Done, Refused> {
        // It makes room; its report stays until another one takes its place.
        if let Some(rehearsing) = &mut self.rehearsal {
            rehearsing.rehearsal.end().await;
        }
        let rehearsal = self.shared.hall.begin::<W>(self.slot.name(), &fitted.guest, &plan)?;
        let (installed, until) = (fitted.installed.clone(), plan.until);
        self.rehearsal = Some(Rehearsing { rehearsal, candidate: Some(fitted), plan });
        self.note("rehearsing", &installed, installed.by, format!("{}, for {until}", installed.origin));
        Ok(self.done(format!("{installed} is rehearsed for {until}"), &installed.digest))
    }

    /// The rehearsal has ended by itself.
    pub(super) async fn rehearsed(&mut self) {
        let Some(Rehearsing { rehearsal, candidate: Some(candidate), plan }) = &self.rehearsal else { return };
        let (report, installed) = (rehearsal.report(), candidate.installed.clone());
        let judged = plan.promote_if.as_ref().map(|rule: &Rule| rule.judge(&report));
        self.note("rehearsed", &installed, installed.by, summary(&report));
        let verdict = match judged {
            None => return,
            Some(Err(why)) => {
                self.note("not-promoted", &installed, By::Rule, why.clone());
                format!("not promoted: {why}")
            }
            Some(Ok(())) => match self.promote(By::Rule).await {
                Ok(_) => "promoted".to_owned(),
                Err(refused) => format!("not promoted: {}", refused.text()),
            },
        };
        if let Some(rehearsing) = &self.rehearsal {
            rehearsing.rehearsal.conclude(verdict);
        }
    }

    /// Installs what is, or was, rehearsed.
    pub(super) async fn promote(&mut self, by: By) -> Result<Done, Refused> {
        let rehearsing = self.rehearsal.as_mut().ok_or(Refused::NoRehearsal)?;
        let mut candidate = *rehearsing.candidate.take().ok_or(Refused::NoRehearsal)?;
        rehearsing.rehearsal.end().await;
        rehearsing.rehearsal.conclude(format!("promoted by {by}"));
        candidate.installed.by = by;
        candidate.installed.at = chrono::Utc::now().to_rfc3339();
        Ok(self.install(candidate).await)
    }

    /// Forgets what is rehearsed.
    pub(super) async fn end_rehearsal(&mut self) -> Result<Done, Refused> {
        let mut rehearsing = self.rehearsal.take().ok_or(Refused::NoRehearsal)?;
        rehearsing.rehearsal.end().await;
        let report = rehearsing.rehearsal.report();
        let Some(candidate) = rehearsing.candidate else {
            return Ok(self.done("the report is cleared away".to_owned(), &report.candidate.digest));
        };
        self.note("rehearsal-ended", &candidate.installed, By::Admin, summary(&report));
        Ok(self.done("the rehearsal is ended".to_owned(), &candidate.installed.digest))
    }
}

fn summary(report: &Report) -> String {
    let slower = report.slower.map(|times| format!(", {times:.2} times the time")).unwrap_or_default();
    format!(
        "{} events compared, {} of them for this guest, {} missed, {} came out otherwise, {} faults{slower}",
        report.events, report.asked, report.missed, report.different, report.candidate.faults
    )
}
