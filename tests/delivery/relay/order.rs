use anyhow::Result;
use harness::{Place, Site};

use super::{arrived, assert_exactly_once_in_order, emptied, fill, held, nats};

/// Numbers that look like chance and are the same in each run (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
    }
}

#[tokio::test]
async fn two_events_of_one_id_are_two_messages() -> Result<()> {
    let site = Site::plan().start().await?;
    let mut redis = super::redis(&site).await?;
    // As of a device whose packet id comes round with an equal payload.
    for number in ["0", "1"] {
        let mut add = redis::cmd("XADD");
        add.arg(super::OUTBOX).arg("*").arg("subject").arg("aurora.alerts.network").arg("id").arg("the-same");
        add.arg("kind").arg("alert").arg("data").arg(format!(r#"{{"number":{number}}}"#));
        add.exec_async(&mut redis).await?;
    }
    emptied(&site).await?;
    let messages = site.jetstream().await?;
    assert_exactly_once_in_order(&messages, 2);
    assert!(messages.iter().all(|message| message.headers["Aurora-Event-Id"] == "the-same"));
    Ok(())
}

#[tokio::test]
async fn a_subject_keeps_its_order_over_cuts_at_any_moment() -> Result<()> {
    const COUNT: u32 = 15_000;
    let site = Site::plan().proxied(Place::Nats).set("nats.reconnect_max", "100ms").start().await?;
    let jetstream = nats(&site).await?;
    fill(&site, 0..COUNT).await?;
    let mut chance = Chance(0x5eed);
    loop {
        let held = held(&jetstream).await;
        if held >= u64::from(COUNT) {
            break;
        }
        // In the middle of a message, after any number of bytes, and at once.
        let after = 2_000 + chance.below(150_000) as usize;
        let proxy = site.proxy(Place::Nats)?;
        proxy.set(|faults| faults.cut_after = Some(after));
        proxy.cut();
        arrived(&site, &jetstream, (held + 1 + chance.below(900)).min(COUNT.into())).await?;
    }
    site.proxy(Place::Nats)?.heal();
    site.proxy(Place::Nats)?.cut();
    emptied(&site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, COUNT);
    // Not how often it was asked for: a connection that was not there yet is not cut.
    let connections = site.proxy(Place::Nats)?.connections();
    assert!(connections > 20, "{connections} connections");
    Ok(())
}
