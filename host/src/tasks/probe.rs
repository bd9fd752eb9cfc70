use super::Config;
use crate::{
    broker::{
        Probed,
        redis_streams::{self, Pool, groups_of, probe_tasks},
    },
    telemetry::Chain,
};

/// Looks at the streams once and changes nothing, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config, redis: &redis_streams::Config) -> Result<Probed, String> {
    let pool = Pool::new(redis).map_err(|error| Chain(&error).to_string())?;
    let keys = [&config.stream, &config.results, &config.dead_letter].map(|name| redis.key(name));
    let unreachable = |error: redis_streams::PoolError| format!("{}; tasks cannot be looked at", Chain(&error));
    let findings = probe_tasks(&pool, &keys, config.remove).await.map_err(unreachable)?;
    if !findings.is_empty() {
        // Without a right the rest may not be seen either.
        return Ok(Probed { said: format!("{}, group {}", keys[0], config.group), findings });
    }
    let mut said = Vec::new();
    for (key, group) in [(&keys[0], &config.group), (&keys[1], &config.results_group)] {
        let groups = groups_of(&pool, key).await.map_err(unreachable)?;
        let ours = groups.iter().flatten().find(|one| one.name == *group);
        said.push(match ours {
            Some(ours) => format!("{key}, group {group}: {} pending, {} consumers", ours.pending, ours.consumers),
            None => format!("{key}, group {group} is not there yet and will be made"),
        });
    }
    Ok(said.join("\n").into())
}
