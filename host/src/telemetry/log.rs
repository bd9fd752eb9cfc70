//! The log: lines on standard error, for a person or for a machine.
//!
//! Standard output belongs to what a command prints (`aurora pipe`), so no log line ever goes there.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{self, LogFormat};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `[log] level` is no filter.
    #[error("log.level = {level:?} is no log filter; write one like \"info\" or \"aurora=debug,info\"")]
    Level {
        /// As configured.
        level: String,
        /// What the filter's parser says.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process logs already.
    #[error("the log has been set up before")]
    Taken(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of the whole process.
///
/// # Errors
/// [`Error::Level`] for a malformed level, [`Error::Taken`] when called twice.
pub fn init(log: &config::Log) -> Result<(), Error> {
    // https://no-color.org: set and not empty means no colour, whatever the terminal can do.
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(log, colour, io::stderr)?.try_init().map_err(Error::Taken)
}

fn subscriber<W>(log: &config::Log, colour: bool, to: W) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&log.level).map_err(|cause| Error::Level { level: log.level.clone(), cause })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(to);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        // Fields beside `message`, not below it: log shippers index the top level.
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics while it writes").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: &str, colour: bool) -> String {
        let page = Page::default();
        let to = page.clone();
        let log = config::Log { format, level: level.to_owned() };
        let subscriber = subscriber(&log, colour, move || to.clone()).expect("a good level");
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(subject = "aurora.alerts.cps", "publish failed");
            tracing::info!("all is well");
        });
        let bytes = page.0.lock().expect("no test panics while it writes").clone();
        String::from_utf8(bytes).expect("a log is UTF-8")
    }

    #[test]
    fn writes_one_json_object_a_line_with_fields_at_the_top() {
        let text = written(LogFormat::Json, "info", true);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["subject"], "aurora.alerts.cps");
        assert_eq!(lines[0]["message"], "publish failed");
        assert_eq!(lines[0]["level"], "WARN");
    }

    #[test]
    fn writes_only_what_the_level_lets_through() {
        let text = written(LogFormat::Text, "warn", false);
        assert!(text.contains("publish failed") && !text.contains("all is well"), "{text}");
    }

    #[test]
    fn colours_text_only_when_told() {
        assert!(!written(LogFormat::Text, "info", false).contains('\u{1b}'));
        assert!(written(LogFormat::Text, "info", true).contains('\u{1b}'));
    }

    #[test]
    fn refuses_a_level_that_is_no_filter() {
        let log = config::Log { format: LogFormat::Text, level: "aurora=loud".to_owned() };
        let Err(error) = subscriber(&log, false, io::stderr) else { panic!("took a level that does not exist") };
        assert!(error.to_string().contains("aurora=loud"), "{error}");
    }
}
