//! The configuration file of a site.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use crate::{Place, Site, guest_cache, stock_guest};

impl Site {
    /// Writes the configuration file, as a daemon with `admin` would get it.
    ///
    /// # Errors
    /// A stock guest is not built, or the file cannot be written.
    pub fn write_configuration(&self, admin: SocketAddr) -> Result<PathBuf> {
        let mut config = Table::new();
        insert(&mut config, "site.id", "test-site".into())?;
        insert(&mut config, "mqtt.url", self.url(Place::Mqtt)?.into())?;
        insert(&mut config, "redis.url", self.url(Place::Redis)?.into())?;
        if self.nats.is_some() {
            insert(&mut config, "nats.url", self.url(Place::Nats)?.into())?;
        }
        insert(&mut config, "admin.listen", admin.to_string().into())?;
        insert(&mut config, "guests.cache", guest_cache()?.display().to_string().into())?;
        // The cache is everybody's, and what proved itself in one test must not stand in for what another one tries.
        for stage in ["normalize", "route", "federate"] {
            insert(&mut config, &format!("guests.{stage}.breaker.last_good"), false.into())?;
            // What the hostile guest imports.
            insert(&mut config, &format!("guests.{stage}.grants"), vec!["log"].into())?;
        }
        if !self.plan.subscriptions.is_empty() {
            insert(&mut config, "mqtt.subscriptions", self.plan.subscriptions.clone().into())?;
        }
        for (key, value) in &self.plan.settings {
            insert(&mut config, key, value.clone())?;
        }
        for stage in ["normalize", "route", "federate"] {
            let key = format!("guests.{stage}.path");
            if !self.plan.settings.iter().any(|(set, _)| *set == key) {
                insert(&mut config, &key, stock_guest(&format!("{stage}-core"))?.display().to_string().into())?;
            }
        }
        let path = self.folder.path().join("aurora.toml");
        std::fs::write(&path, config.to_string()).context("cannot write the configuration")?;
        Ok(path)
    }
}

/// Puts `value` under a dotted key and makes the tables on the way.
fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    match key.split_once('.') {
        // Names of streams are keys with colons, never dots, so this is enough.
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut().with_context(|| format!("{section} is no section"))?;
            insert(inner, rest, value)
        }
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
    }
}
