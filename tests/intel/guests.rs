//! What guests are told that ask. The guest is that of `tests/remembering`, which says in an event's title what it heard.

use std::sync::Arc;

use anyhow::{Result, bail};
use aurora::{
    config::{Config, Grant},
    event::{Context, Delivery, Duty, Identity},
    intel::{Lookup, Remembered},
    pipeline::{Decider, Outcome, Stages},
    sandbox::Sandbox,
    telemetry::Metrics,
};
use harness::{PATIENCE, built_guest, guest_cache, stock_guest};

use super::{alone, indicator, told};

/// A lane over the asking guest.
fn lane(lookup: Option<Arc<dyn Lookup>>) -> Result<Decider> {
    let mut config = Config::default();
    config.guests.cache = Some(guest_cache()?);
    config.guests.normalize.path = built_guest("tests/remembering", "remembering")?;
    config.guests.normalize.grants = [Grant::State, Grant::Lookup].into_iter().collect();
    config.guests.route.path = stock_guest("route-core")?;
    config.guests.federate.path = stock_guest("federate-core")?;
    let metrics = Metrics::new();
    let mut sandbox = Sandbox::new(&config.guests, 1)?.compiling_here();
    if let Some(lookup) = lookup {
        sandbox = sandbox.looking_up(lookup);
    }
    let stages = match Stages::load(&config, &sandbox, &metrics, None) {
        Ok(stages) => stages,
        Err(errors) => bail!("{errors:?}"),
    };
    Ok(Decider::new(&stages, 5, metrics))
}

fn ask(lane: &mut Decider, line: &str) -> String {
    let delivery = Delivery {
        context: Arc::new(Context { source: "test".to_owned(), format: "auto".to_owned(), ..Context::default() }),
        received_ms: 0,
        payload: line.as_bytes().to_vec().into(),
        identity: Identity::Once(1),
        attempts: 0,
        unfit: None,
        duty: Duty::none(),
    };
    let decided = lane.decide(vec![delivery]);
    let fingerprint = decided.fingerprint(0);
    let title = decided.events_of(0, fingerprint).next().map(|event| event.event.title().to_owned());
    title.unwrap_or_else(|| match &decided.outcomes[0] {
        Outcome::Rejected(reason) | Outcome::Dropped(reason) => reason.clone(),
        other => format!("{other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_hears_what_is_told_in_whatever_form_it_asks() -> Result<()> {
    let (table, mut redis, _folder) = alone(|intel| intel.timeout = PATIENCE).await?;
    let mut lane = lane(Some(Arc::new(Remembered::new(table.clone()))))?;
    let mut asked = async |line: &str| tokio::task::block_in_place(|| ask(&mut lane, line));
    assert_eq!(asked("told domain evil.net").await, "nothing");
    table.record(&[told(indicator("domain", "evil.net"), "a", "m1")]).await?;
    table.record(&[told(indicator("domain", "evil.net"), "b", "m2")]).await?;
    // What this host records it sees at once, whatever it heard a moment ago.
    assert_eq!(asked("told domain EVIL.net.").await, "a,b 2 GREEN");
    assert_eq!(asked("told ip evil.net").await, "nothing", "it is no address");
    assert_eq!(asked("told url evil.net").await, "nothing");
    redis.kill();
    assert_eq!(asked("told domain other.net").await, "unavailable");
    Ok(())
}

#[tokio::test]
async fn at_a_site_that_looks_out_for_nothing_nobody_can_say() -> Result<()> {
    assert_eq!(ask(&mut lane(None)?, "told domain evil.net"), "unavailable");
    Ok(())
}
