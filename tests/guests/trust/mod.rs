//! Whom a site believes: signatures, registries, and what compiling may cost. By the real binary, and a real registry.

mod signed;
mod registry;
mod liar;
mod compiled;
mod swapped;

pub(crate) use compiled::bomb;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use harness::stock_guest;
use tempfile::TempDir;

use super::author::{Said, aurora};

/// A folder with a configuration, and guests and keys to try.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        let bench = Self { folder: tempfile::tempdir()? };
        fs::copy(stock_guest("route-core")?, bench.path("router.wasm"))?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn aurora(&self, arguments: &[&str]) -> Result<Said> {
        aurora(self.folder.path(), arguments)
    }

    /// A configuration with these keys of the router, these of [guests], and these tables. The cache is its own.
    fn configure(&self, router: &str, guests: &str, tables: &str) -> Result<()> {
        let (normalize, federate) = (stock_guest("normalize-core")?, stock_guest("federate-core")?);
        let admin = harness::free_port()?;
        let text = format!(
            "[site]\nid = 'test'\n[admin]\nlisten = '127.0.0.1:{admin}'\n[mqtt]\nurl = 'mqtt://127.0.0.1:1'\n[redis]\nurl = 'redis://127.0.0.1:1'\n\
             [guests]\ncache = 'cache'\n{guests}\n[guests.normalize]\npath = '{}'\n[guests.federate]\npath = '{}'\n\
             [guests.route]\n{router}\nbreaker.last_good = false\n{tables}\n",
            normalize.display(),
            federate.display(),
        );
        Ok(fs::write(self.path("aurora.toml"), text)?)
    }

    fn check(&self) -> Result<Said> {
        self.aurora(&["check", "--config", "aurora.toml"])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
