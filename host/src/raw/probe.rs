use super::Config;
use crate::{
    broker::{
        Finding, Probed,
        redis_streams::{self, Pool},
    },
    telemetry::Chain,
};

/// Looks at the stream once and changes nothing, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config, redis: &redis_streams::Config) -> Result<Probed, String> {
    let pool = Pool::new(redis).map_err(|error| Chain(&error).to_string())?;
    let key = redis.key(&config.stream);
    let unreachable = |error: redis_streams::PoolError| format!("{}; {key} cannot be looked at", Chain(&error));
    let findings = redis_streams::probe_raw(&pool, &key, config.remove).await.map_err(unreachable)?;
    if !findings.is_empty() {
        // Without a right the rest may not be seen either.
        return Ok(Probed { said: format!("{key}, group {}", config.group), findings });
    }
    let groups = redis_streams::groups_of(&pool, &key).await.map_err(unreachable)?;
    let Some(groups) = groups else {
        return Ok(format!("{key} is not there yet and will be made").into());
    };
    let said = match groups.iter().find(|group| group.name == config.group) {
        Some(ours) => format!("{key}, group {}: {} entries pending", ours.name, ours.pending),
        None => format!("{key}, group {} is not there yet and will be made", config.group),
    };
    let others: Vec<_> = groups.iter().map(|group| group.name.as_str()).filter(|name| *name != config.group).collect();
    let findings = match config.remove && !others.is_empty() {
        true => vec![Finding::warning(other_groups(&others))],
        false => Vec::new(),
    };
    Ok(Probed { said, findings })
}

/// What removing does to other groups.
pub(super) fn other_groups(others: &[&str]) -> String {
    format!(
        "other groups read this stream too ({}), and entries go from it when we have stored them; set raw.remove = false \
         and trim the stream by other means",
        others.join(", ")
    )
}
