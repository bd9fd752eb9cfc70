//! The player: devices and collectors in one.

use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    publisher::{self, Publisher},
    samples::{SAMPLES, Token},
    tally::Seen,
};

/// How long the MQTT broker may take to acknowledge the last messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays the samples in turn, `rate` a second, until `stop`; always whole rounds, so that each kind is seen equally
/// often. Ends when the broker has everything.
///
/// # Errors
/// The broker does not take the messages.
pub async fn play(
    port: u16,
    rate: u32,
    stop: CancellationToken,
    seen: mpsc::Sender<Seen>,
) -> Result<(), publisher::Error> {
    let mut publisher = Publisher::connect(port, "aurora-demo-devices", None);
    let mut beat = interval(Duration::from_secs(1) / rate.max(1));
    // A beat that came late is made up for: the rate is an average.
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while !stop.is_cancelled() {
        for (sample, message) in SAMPLES.iter().enumerate() {
            beat.tick().await;
            let token = Token(number);
            number += 1;
            let payload = message.payload(token, Utc::now());
            let played = Seen::Played { token, sample, payload: payload.clone(), at: Instant::now() };
            if seen.send(played).await.is_err() {
                return Ok(());
            }
            publisher.publish(message.topic, message.qos, payload).await?;
        }
    }
    publisher.acknowledged(PATIENCE).await
}
