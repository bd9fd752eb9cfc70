use std::collections::HashMap;

use redis::{ErrorKind, RedisError, RedisResult, aio::ConnectionLike};

/// What Redis says of itself.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// INFO, or why it was refused.
    pub info: Result<HashMap<String, String>, String>,
    /// CONFIG GET, or why it was refused, as managed services do.
    pub settings: Result<HashMap<String, String>, String>,
}

/// The settings that matter and that INFO does not show.
const SETTINGS: [&str; 4] = ["appendfsync", "no-appendfsync-on-rewrite", "save", "min-replicas-to-write"];

impl Seen {
    /// Asks. What the server refuses to say is part of the answer; an error means that it could not be asked.
    pub async fn of(connection: &mut impl ConnectionLike) -> RedisResult<Self> {
        let info = answered(redis::cmd("INFO").arg("everything").query_async::<String>(connection).await)?;
        let settings = redis::cmd("CONFIG").arg("GET").arg(&SETTINGS[..]).query_async(connection).await;
        Ok(Self { info: info.map(|info| fields(&info)), settings: answered(settings)? })
    }

    /// A field of INFO.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.info.as_ref().ok()?.get(name).map(String::as_str)
    }

    /// A number of INFO; 0 where there is none.
    pub fn number(&self, name: &str) -> u64 {
        self.field(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref().ok()?.get(name).map(String::as_str)
    }

    /// Whether this is a node of a cluster.
    pub fn is_cluster(&self) -> bool {
        self.field("cluster_enabled") == Some("1")
    }

    /// Version of the commands that it knows: of Redis, or of the Redis that Valkey says it is like.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.field("redis_version")?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// Name and version for a person.
    pub fn name(&self) -> String {
        if self.info.is_err() {
            return "a server that does not say what it is".to_owned();
        }
        let or_unknown = |name| self.field(name).unwrap_or("of unknown version");
        let name = match self.field("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", or_unknown("redis_version")),
        };
        format!("{name}, {} mode", self.field("redis_mode").unwrap_or("unknown"))
    }
}

/// Tells a refusal from not being able to ask.
fn answered<T>(answer: RedisResult<T>) -> RedisResult<Result<T, String>> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => Ok(Err(words(&error))),
            // An answer that is not of the form that Redis documents.
            ErrorKind::UnexpectedReturnType => Ok(Err(error.to_string())),
            _ => Err(error),
        },
    }
}

/// What the server said, as it said it.
pub(super) fn words(error: &RedisError) -> String {
    format!("{} {}", error.code().unwrap_or("ERR"), error.detail().unwrap_or_default())
}

/// The lines `name:value` of INFO.
fn fields(info: &str) -> HashMap<String, String> {
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
impl Seen {
    /// One that says this.
    pub fn saying(info: &str, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { info: Ok(fields(info)), settings: Ok(settings) }
    }
}
