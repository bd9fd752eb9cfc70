use super::entry::Entry;

/// Which entries. All that is given must be true of one; of several values one.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Severities: critical, high, medium, low, info.
    #[arg(long, value_delimiter = ',', value_parser = ["critical", "high", "medium", "low", "info"])]
    severity: Vec<String>,
    /// Categories: cps, network, endpoint, identity, cloud.
    #[arg(long, value_delimiter = ',', value_parser = ["cps", "network", "endpoint", "identity", "cloud"])]
    category: Vec<String>,
    /// Origins.
    #[arg(long, value_delimiter = ',', value_parser = text)]
    source: Vec<String>,
    /// Device ids.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = text)]
    device: Vec<String>,
    /// Texts that it contains, in capitals or not; all of them. What is hidden contains none.
    #[arg(value_name = "TEXT", value_parser = text)]
    texts: Vec<String>,
}

fn text(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it says nothing; leave it out".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

impl Filter {
    /// Whether `entry` is one of them. What TLP hides fits nobody who asks for what it says, unless `show_restricted`: each
    /// guess would be answered by a line more or less.
    pub fn takes(&self, entry: &Entry<'_>, show_restricted: bool) -> bool {
        let is_guess = !(self.texts.is_empty() && self.source.is_empty() && self.device.is_empty());
        if entry.mark.is_some() && !show_restricted && is_guess {
            return false;
        }
        let is = |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == text);
        let fields =
            || -> String { entry.fields.values().map(|value| value.to_string().to_lowercase() + "\n").collect() };
        is(&self.severity, entry.text("severity"))
            && is(&self.category, entry.text("category"))
            && is(&self.source, entry.text("source"))
            && is(&self.device, entry.device())
            && (self.texts.is_empty() || {
                let fields = fields();
                self.texts.iter().all(|text| fields.contains(&text.to_lowercase()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{entry::tests::entry, stage::Watched},
        *,
    };

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    fn filter(words: &[&str]) -> Result<Filter, clap::Error> {
        let words = ["tap"].iter().chain(words);
        <Line as clap::Parser>::try_parse_from(words).map(|line| line.filter)
    }

    #[test]
    fn takes_what_everything_is_true_of() {
        let watched = Watched { stage: "normalized", name: "aurora:alerts".to_owned() };
        let data = br#"{"title":"Valve open","device_id":"pump_1"}"#;
        let entry = entry(&watched, &[b"data", data, b"severity", b"high", b"category", b"cps", b"source", b"mqtt"]);
        for (words, takes) in [
            (&[][..], true),
            (&["--severity", "critical,high"], true),
            (&["--severity", "low"], false),
            (&["--category", "cps", "--device", "pump_1", "--source", "mqtt"], true),
            (&["--device", "pump_2"], false),
            (&["VALVE", "open"], true),
            (&["valve", "shut"], false),
        ] {
            assert_eq!(filter(words).unwrap().takes(&entry, false), takes, "{words:?}");
        }
    }

    #[test]
    fn what_is_hidden_cannot_be_guessed_word_by_word() {
        let watched = Watched { stage: "normalized", name: "aurora:alerts".to_owned() };
        let data = br#"{"title":"Who it was","device_id":"pump_1","fields":{"tlp":"red"}}"#;
        let entry = entry(&watched, &[b"data", data, b"severity", b"high", b"source", b"mqtt"]);
        for words in [&["who"][..], &["--device", "pump_1"], &["--source", "mqtt"], &["tlp"]] {
            let filter = filter(words).unwrap();
            assert!(!filter.takes(&entry, false) && filter.takes(&entry, true), "{words:?}");
        }
        // That there is something of this severity is no secret: what it says is.
        assert!(filter(&["--severity", "high"]).unwrap().takes(&entry, false));
    }

    #[test]
    fn refuses_what_no_event_could_have() {
        assert!(filter(&["--severity", "urgent"]).is_err() && filter(&["--category", "iot"]).is_err());
        assert!(filter(&[" "]).is_err() && filter(&["--device", ""]).is_err());
    }
}
