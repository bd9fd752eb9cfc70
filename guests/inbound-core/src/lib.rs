//! The stock judge of what other sites send: refuses what sites send that are not believed, drops events that are not
//! severe enough, and raises or lowers what a site sends by what it is known for. Without options it lets everything in.

use aurora_guest::{Failure, Judging, MessageView, Messages, Severity, Verdicts, settings};

#[cfg(target_family = "wasm")]
mod component;

/// From `[guests.inbound.options]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `believed`: the sites, by their word, whose messages are taken; all others' are refused. None: all are believed.
    pub believed: Vec<String>,
    /// `least`: events that are less severe, as their site has it, are dropped. Results of attestation never are.
    pub least: Option<Severity>,
    /// `raise`: sites whose events get one step more.
    pub raise: Vec<String>,
    /// `lower`: sites whose events get one step less.
    pub lower: Vec<String>,
}

impl Options {
    /// Those of the site.
    ///
    /// # Errors
    /// If one is not of its type, or if a site is to be raised and lowered.
    pub fn read() -> Result<Self, Failure> {
        let wrong = Failure::InvalidSettings;
        let least = settings::text("least")?.map(|least| {
            let found = Severity::ALL.into_iter().find(|severity| severity.as_str() == least);
            found.ok_or_else(|| {
                wrong(format!("option `least` is {least:?}, expected info, low, medium, high or critical"))
            })
        });
        let options = Self {
            believed: settings::texts("believed")?,
            least: least.transpose()?,
            raise: settings::texts("raise")?,
            lower: settings::texts("lower")?,
        };
        match options.raise.iter().find(|site| options.lower.contains(site)) {
            Some(site) => Err(wrong(format!("site {site:?} is in `raise` and in `lower`"))),
            None => Ok(options),
        }
    }
}

/// Judges every message of a batch.
#[must_use]
pub fn judge(input: &Messages, options: &Options) -> Verdicts {
    let mut judging = Judging::new();
    for message in input.iter() {
        let is_in = |sites: &[String]| sites.iter().any(|site| site == message.site);
        let own = message.event.severity();
        if !options.believed.is_empty() && !is_in(&options.believed) {
            judging.refuse(&format!("{} is not among the sites that are believed", message.site));
        } else if !is_weighed(&message) {
            judging.accept(own, "its site is believed");
        } else if let Some(least) = options.least.filter(|least| own < *least) {
            judging.discard(&format!("severity is below {}", least.as_str()));
        } else if is_in(&options.raise) {
            judging.accept(stepped(own, 1), &format!("raised, for it is of {}", message.site));
        } else if is_in(&options.lower) {
            judging.accept(stepped(own, -1), &format!("lowered, for it is of {}", message.site));
        } else {
            judging.accept(own, "its site is believed");
        }
    }
    judging.finish()
}

/// Whether its severity is an opinion: that of a result of attestation says whether it failed, and an indicator has none.
fn is_weighed(message: &MessageView<'_>) -> bool {
    message.is_event() && message.sort() != "attestation"
}

/// So many steps up, or as far as it goes.
fn stepped(severity: Severity, steps: isize) -> Severity {
    let at = Severity::ALL.iter().position(|one| *one == severity).unwrap_or_default();
    Severity::ALL[at.saturating_add_signed(steps).min(Severity::ALL.len() - 1)]
}

#[cfg(test)]
mod tests {
    use aurora_guest::testing::with_options;

    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Options, Failure> {
        let options = options.iter().map(|(key, json)| ((*key).to_owned(), (*json).to_owned())).collect();
        with_options(options, Options::read)
    }

    #[test]
    fn options_that_make_no_sense_are_told() {
        assert_eq!(read(&[]).unwrap(), Options::default());
        for (options, what) in [
            (&[("least", "\"hihg\"")][..], "hihg"),
            (&[("believed", "\"a\"")][..], "a list of strings"),
            (&[("raise", "[\"a\"]"), ("lower", "[\"b\", \"a\"]")][..], "in `raise` and in `lower`"),
        ] {
            let Err(Failure::InvalidSettings(why)) = read(options) else { panic!("{options:?} is taken") };
            assert!(why.contains(what), "{why}");
        }
    }

    #[test]
    fn a_severity_has_an_end_on_both_sides() {
        assert_eq!(stepped(Severity::Critical, 1), Severity::Critical);
        assert_eq!(stepped(Severity::Info, -1), Severity::Info);
        assert_eq!((stepped(Severity::Low, 1), stepped(Severity::High, -1)), (Severity::Medium, Severity::Medium));
    }
}
