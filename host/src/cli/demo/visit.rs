//! What a visitor does once the demo has played: sends events of a file, and tries things by hand.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    PATIENCE, Signals,
    publisher::Publisher,
    screen::Screen,
    site::Site,
    tally::{Seen, Tally},
};

/// Nothing more is expected when nothing has come out for so long.
const QUIET: Duration = Duration::from_secs(1);

/// A visitor's events, read before anything is started.
#[derive(Debug)]
pub(super) struct Events(Vec<Vec<u8>>);

impl Events {
    /// The lines of the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or there are none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        anyhow::ensure!(!lines.is_empty(), "there is no event in {}", path.display());
        Ok(Self(lines))
    }

    /// Publishes them on `topic`, and tells what comes out until all is quiet. The answer is one of the events.
    ///
    /// # Errors
    /// The broker does not take them.
    pub(super) async fn send(
        &self,
        topic: &str,
        screen: &Screen,
        site: &Site,
        sights: &mut mpsc::Receiver<Seen>,
        tally: &mut Tally,
        signals: &mut Signals,
    ) -> anyhow::Result<Option<String>> {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        screen.say(&[String::new(), format!("{count} event{s} of your own, sent to {topic}:")]);
        let mut publisher = Publisher::connect(site.mqtt.port(), "aurora-demo-visitor", None);
        for line in &self.0 {
            publisher.publish(topic, 1, line.clone()).await?;
        }
        publisher.acknowledged(PATIENCE).await?;
        let (mut told, mut event) = (0, None);
        let last = Instant::now() + PATIENCE;
        loop {
            let quiet = (Instant::now() + QUIET).min(last);
            tokio::select! {
                () = sleep_until(quiet) => break,
                () = signals.next() => break,
                seen = sights.recv() => {
                    let Some(seen) = seen else { break };
                    if let Some(stranger) = tally.note(seen) {
                        screen.say(&[stranger.line()]);
                        told += 1;
                        event = event.or(stranger.event);
                    }
                }
            }
        }
        if told == 0 {
            screen.say(&["  nothing came out: what a guest drops leaves no trace but a number in /metrics".to_owned()]);
        }
        Ok(event)
    }
}

/// Stays until Ctrl-C and tells of everything that somebody else sends. `topics` are those of the visitor's guests,
/// `event` is one that they may ask about.
pub(super) async fn linger(
    screen: &Screen,
    site: &Site,
    topics: &[(String, &str)],
    event: Option<&str>,
    sights: &mut mpsc::Receiver<Seen>,
    tally: &mut Tally,
    signals: &mut Signals,
) {
    let (mqtt, redis) = (site.mqtt.port(), site.redis.port());
    let mut lines = vec![
        String::new(),
        "Everything still runs; what you send shows below. Ctrl-C ends it all. For example, in another terminal:"
            .to_owned(),
    ];
    let example = |(topic, guest): &(String, &str)| {
        format!("  mosquitto_pub -p {mqtt} -q 1 -t {topic} -l < YOUR_EVENTS   # a line each, for {guest}")
    };
    lines.extend(topics.iter().map(example));
    let configuration = site.configuration.display();
    lines.extend([
        format!(
            "  mosquitto_pub -p {mqtt} -q 2 -t aurora/sensors/my_device/alerts -m '{{\"severity\":\"high\",\"title\":\"Hello\"}}'"
        ),
        format!("  redis-cli -p {redis} XREVRANGE aurora:cps:alerts + - COUNT 1"),
        format!("  aurora explain --config {configuration} {}", event.unwrap_or("EVENT-ID")),
        format!("  aurora tap --config {configuration}"),
        format!("  the page http://{}/, whose token is in {}", site.daemon.admin(), site.token.display()),
        format!("  less {configuration}"),
        format!("  aurora guest list --config {configuration}"),
        format!("  aurora guest swap route YOUR_ROUTER.wasm --shadow 10s --config {configuration}"),
        String::new(),
    ]);
    screen.say(&lines);
    loop {
        tokio::select! {
            () = signals.next() => return,
            seen = sights.recv() => {
                let Some(seen) = seen else { return };
                if let Some(stranger) = tally.note(seen) {
                    screen.say(&[stranger.line()]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_that_is_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a\r\n\nb").unwrap();
        assert_eq!(Events::read(file.path()).unwrap().0, [b"a", b"b"]);
        fs::write(file.path(), "\n").unwrap();
        assert!(Events::read(file.path()).is_err());
    }
}
