use super::Config;
use crate::{
    broker::{
        Probed,
        redis_streams::{self, Pool, depth},
    },
    telemetry::Chain,
};

/// Looks at the streams once and changes nothing, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config, redis: &redis_streams::Config) -> Result<Probed, String> {
    let pool = Pool::new(redis).map_err(|error| Chain(&error).to_string())?;
    let unreachable = |error: redis_streams::PoolError| format!("{}; the streams cannot be looked at", Chain(&error));
    let keys = |names: &[String]| -> Vec<String> { names.iter().map(|name| redis.key(name)).collect() };
    let feeds = [(keys(&config.alerts), &config.alerts_group), (keys(&config.audit), &config.audit_group)];
    let all: Vec<String> = feeds.iter().flat_map(|(keys, _)| keys.clone()).collect();
    let findings = redis_streams::probe_broadcast(&pool, &all).await.map_err(unreachable)?;
    if !findings.is_empty() {
        // Without a right the rest may not be seen either.
        return Ok(Probed { said: all.join(", "), findings });
    }
    let mut said = Vec::new();
    for (keys, group) in feeds {
        let group = config.group(group);
        for key in keys {
            let depth = depth(&pool, &key).await.map_err(unreachable)?;
            let text = match depth.groups.iter().find(|one| one.name == group) {
                Some(one) => match one.lag {
                    Some(lag) => format!("{key}, group {group}: {lag} entries behind"),
                    None => format!("{key}, group {group}"),
                },
                None => format!("{key}, group {group} is not there yet and will be made"),
            };
            said.push(text);
        }
    }
    Ok(said.join("\n").into())
}
